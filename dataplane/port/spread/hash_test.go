package spread

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// frame is a packet in parts.
type frame struct {
	tags       []uint16
	v6         bool
	src, dst   []byte // addresses
	kind       byte   // upper-layer protocol
	fragment   bool
	extensions int // IPv6, of 8 bytes each
	upper      []byte
}

func (f *frame) back() *frame {
	g := *f
	g.src, g.dst = f.dst, f.src
	g.upper = append([]byte(nil), f.upper...)
	if f.kind == protoTCP {
		copy(g.upper, f.upper[2:4])
		copy(g.upper[2:], f.upper[:2])
	}
	return &g
}

func (f *frame) ip() []byte {
	be := binary.BigEndian
	if !f.v6 {
		b := make([]byte, 20)
		b[0], b[9] = 0x45, f.kind
		be.PutUint16(b[2:], uint16(20+len(f.upper)))
		if f.fragment {
			be.PutUint16(b[6:], 0x2000)
		}
		copy(b[12:], f.src)
		copy(b[16:], f.dst)
		return append(b, f.upper...)
	}
	b := make([]byte, 40)
	b[0], b[6] = 0x60, f.kind
	copy(b[8:], f.src)
	copy(b[24:], f.dst)
	next := &b[6]
	for range f.extensions {
		*next = 60
		b = append(b, f.kind, 0, 1, 4, 0, 0, 0, 0)
		next = &b[len(b)-8]
	}
	if f.fragment {
		*next = 44
		b = append(b, f.kind, 0, 0, 1, 0, 0, 0, 1)
	}
	b = append(b, f.upper...)
	be.PutUint16(b[4:], uint16(len(b)-40))
	return b
}

func (f *frame) bytes() []byte {
	be := binary.BigEndian
	b := make([]byte, 12)
	for _, tag := range f.tags {
		b = be.AppendUint16(be.AppendUint16(b, 0x8100), tag)
	}
	if f.v6 {
		return append(be.AppendUint16(b, etherIPv6), f.ip()...)
	}
	return append(be.AppendUint16(b, etherIPv4), f.ip()...)
}

// randomTCP makes up a segment.
func randomTCP(rng *rand.Rand) *frame {
	bytes := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return b
	}
	f := &frame{v6: rng.IntN(2) == 0, kind: protoTCP, upper: bytes(20 + rng.IntN(100))}
	n := 4
	if f.v6 {
		n, f.extensions = 16, rng.IntN(3)
	}
	f.src, f.dst = bytes(n), bytes(n)
	for range rng.IntN(3) {
		f.tags = append(f.tags, uint16(rng.Uint32()))
	}
	return f
}

// quoting makes an error by a third party about f, which goes back to where f came from.
func (f *frame) quoting(rng *rand.Rand) *frame {
	e := &frame{tags: f.tags, v6: f.v6, dst: f.src, kind: protoICMPv4}
	e.src = append([]byte(nil), f.src...)
	e.src[0] ^= byte(1 + rng.IntN(255))
	kind := []byte{3, 4, 5, 11, 12}[rng.IntN(5)]
	if f.v6 {
		e.kind, kind = protoICMPv6, []byte{1, 2, 3, 4}[rng.IntN(4)]
	}
	inner := f.ip()
	e.upper = append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, inner[:len(inner)-len(f.upper)+8]...)
	return e
}

func newHash(t testing.TB) *Hash {
	t.Helper()
	h, err := NewHash()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestBothDirectionsAndErrorsReachOneWorker(t *testing.T) {
	h, rng := newHash(t), rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		f := randomTCP(rng)
		there, back := h.Of(f.bytes()), h.Of(f.back().bytes())
		if there != back || there != h.other(f.bytes()) {
			t.Fatalf("%+v: %x and %x", f, there, back)
		}
		if e := h.Of(f.quoting(rng).bytes()); e != there {
			t.Fatalf("%+v: an error has %x, the segment %x", f, e, there)
		}
		if e := h.Of(f.back().quoting(rng).bytes()); e != there {
			t.Fatalf("%+v: an error about the other direction has %x, the segment %x", f, e, there)
		}
	}
}

func TestFragmentsAndOtherProtocolsGoByAddresses(t *testing.T) {
	h, rng := newHash(t), rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		f := randomTCP(rng)
		f.kind, f.extensions = 17, 0
		whole := h.Of(f.bytes())
		g := *f
		g.fragment, g.upper = true, f.upper[:8]
		if part := h.Of(g.bytes()); part != whole || h.Of(f.back().bytes()) != whole || h.Of(f.quoting(rng).bytes()) != whole {
			t.Fatalf("%+v: a fragment has %x, the datagram %x", f, part, whole)
		}
	}
}

func TestWhatIsNotIPGoesByHardwareAddresses(t *testing.T) {
	h := newHash(t)
	a, b := make([]byte, 60), make([]byte, 60)
	for i := range 6 {
		a[i], a[6+i], b[i], b[6+i] = byte(i+1), byte(0x20+i), byte(0x20+i), byte(i+1)
	}
	a[12], b[12], a[13], b[13] = 8, 8, 6, 6
	if h.Of(a) != h.Of(b) {
		t.Error("the directions differ")
	}
	for n := range a {
		h.Of(a[:n])
	}
}

func TestVLANsAreApart(t *testing.T) {
	h, seen := newHash(t), map[uint32]bool{}
	f := randomTCP(rand.New(rand.NewPCG(5, 6)))
	for id := range uint16(100) {
		f.tags = []uint16{id}
		seen[h.Of(f.bytes())] = true
		f.tags = []uint16{id | 0xe000} // a priority
		seen[h.Of(f.bytes())] = true
	}
	if len(seen) < 99 || len(seen) > 100 {
		t.Errorf("100 VLANs, each with two priorities, have %d hashes", len(seen))
	}
}

func TestFlowsAreSharedOutEvenly(t *testing.T) {
	h := newHash(t)
	for _, workers := range []int{2, 3, 8} {
		counts := make([]int, workers)
		const flows = 8000
		for i := range uint16(flows) {
			counts[h.Worker(segment(i, 0), workers)]++
		}
		for i, n := range counts {
			if mean := flows / workers; n < mean*8/10 || n > mean*12/10 {
				t.Errorf("worker %d of %d has %d of %d flows that differ in a port alone", i, workers, n, flows)
			}
		}
	}
}

func FuzzHash(f *testing.F) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 8 {
		s := randomTCP(rng)
		f.Add(s.bytes())
		f.Add(s.quoting(rng).bytes())
	}
	h := newHash(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		if h.Of(frame) != h.other(append([]byte(nil), frame...)) {
			t.Error("the short way says something else")
		}
		for _, n := range []int{1, 3, 256} {
			if w := h.Worker(frame, n); w < 0 || w >= n {
				t.Error(fmt.Sprint(w, n))
			}
		}
	})
}

func BenchmarkHash(b *testing.B) {
	h, s := newHash(b), segment(1, 2)
	for b.Loop() {
		h.Of(s)
	}
}
