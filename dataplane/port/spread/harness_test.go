package spread

import (
	"encoding/binary"
	"testing"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/memory"
)

// rig is a spread port over a memory port, and the far side of that.
type rig struct {
	*Port
	end    *memory.End
	pool   *mbuf.Shared
	caches []*mbuf.Cache
	device *mbuf.Cache
}

const buffers = 16384

func newRig(t testing.TB, workers int, o Options, mem memory.Options) *rig {
	t.Helper()
	arena, err := mbuf.NewArena(buffers, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{pool: mbuf.NewShared(arena)}
	t.Cleanup(func() { _ = arena.Close() })
	for range workers {
		r.caches = append(r.caches, mbuf.NewShare(r.pool, workers))
	}
	r.device = mbuf.NewShare(r.pool, workers)
	dev, end, err := memory.NewEnd("one", mem, []*mbuf.Cache{r.device})
	if err != nil {
		t.Fatal(err)
	}
	r.end = end
	h, err := NewHash()
	if err != nil {
		t.Fatal(err)
	}
	if r.Port, err = New(dev, r.device, r.caches, h, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.done(t) })
	return r
}

// done closes the port, after which every buffer is home.
func (r *rig) done(t testing.TB) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	for _, c := range r.caches {
		c.Flush()
	}
	if n := r.pool.Avail(); n != r.pool.Size() {
		t.Errorf("%d of %d buffers came home", n, r.pool.Size())
	}
}

// segment is a TCP segment over IPv4 of a flow with a number in it.
func segment(flow uint16, seq uint32) []byte {
	b := make([]byte, 64)
	binary.BigEndian.PutUint16(b[12:], etherIPv4)
	b[14], b[17], b[23] = 0x45, 50, protoTCP
	copy(b[26:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(b[34:], 1000+flow)
	binary.BigEndian.PutUint16(b[36:], 443)
	binary.BigEndian.PutUint32(b[38:], seq)
	b[46] = 5 << 4
	return b
}

func flowOf(b []byte) uint16   { return binary.BigEndian.Uint16(b[34:]) - 1000 }
func numberOf(b []byte) uint32 { return binary.BigEndian.Uint32(b[38:]) }

// poll receives for one worker until there is nothing more, and calls each with every packet, which it then frees.
func (r *rig) poll(worker int, each func(m *mbuf.Mbuf)) int {
	var ms [port.Burst]*mbuf.Mbuf
	total := 0
	for {
		n := r.Queue(worker).RxBurst(ms[:])
		if n == 0 {
			return total
		}
		for _, m := range ms[:n] {
			if each != nil {
				each(m)
			}
			r.caches[worker].Free(m)
		}
		total += n
	}
}
