package stream

import (
	"fmt"
	"testing"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

const benchBurst = 32

// bench is a keyed flow without a harness around it.
type bench struct {
	core    *Core
	cache   *mbuf.Cache
	out     *Output
	batcher cryptobatch.Batcher
	rec     flowtable.Record
	now     int64
	same    bool // the host sends zeroes, not whatever lies in its buffers
	noop    bool // operations are not worked: what is left is the translator alone
}

func newBench(tb testing.TB, d tcpcrypt.Direction) *bench {
	b := &bench{out: NewOutput(benchBurst), now: 1}
	b.core, b.cache, _, b.batcher = testCore(tb, 2000, nil)
	b.restart(tb, d)
	return b
}

// restart begins a new connection in the record.
func (b *bench) restart(tb testing.TB, d tcpcrypt.Direction) {
	b.core.Release(1, &b.rec)
	b.rec = flowtable.Record{}
	b.rec.Host = flowtable.Endpoint{MSS: 1460, WScale: 7, Win: 1 << 22}
	b.rec.Peer = flowtable.Endpoint{MSS: 1460, WScale: 7, Win: 1 << 22}
	b.rec.Flags = flowtable.FlagTimestamps | flowtable.FlagSACK | flowtable.FlagWScale
	b.core.Start(1, &b.rec, b.now)
	b.rec.Ingress.Flags |= flowtable.IngressInit
	keys := Keys{AEAD: tcpcrypt.AES128GCM, Master: tcpcrypt.MasterKey{1}, Egress: d}
	if err := b.core.InstallKeys(1, &b.rec, &keys, b.now, b.out); err != nil {
		tb.Fatal(err)
	}
}

func (b *bench) work() {
	for b.out.Pending() {
		if b.noop {
			for i := range b.out.Seals {
				b.out.Seals[i].Status = cryptobatch.StatusOK
			}
			for i := range b.out.Opens {
				b.out.Opens[i].Status = cryptobatch.StatusOK
			}
		} else {
			b.batcher.Seal(b.out.Seals)
		}
		b.core.Sealed(b.out, b.now)
		if !b.noop {
			b.batcher.Open(b.out.Opens)
		}
		b.core.Opened(b.out, b.now)
	}
	for i := range b.out.Emits {
		b.cache.Free(b.out.Emits[i].M)
	}
	b.out.Reset()
}

// sealBurst sends a burst of segments from the host and acknowledges them.
func (b *bench) sealBurst(n int) {
	b.hostBurst(b.rec.Egress.PNext, n)
	b.work()
	b.ackBurst()
}

// hostBurst sends a burst of segments from the host, from a plaintext position on.
func (b *bench) hostBurst(at uint64, n int) {
	for range benchBurst {
		m := b.cache.Alloc()
		m.SetBounds(mbuf.Headroom, hdrLen+n)
		if b.same {
			clear(m.Data())
		}
		seg := Segment{M: m, Off: mbuf.Headroom + hdrLen, Len: n, Seq: 1 + uint32(at), Ack: 1, Win: 30000, Flags: ACK, HasTS: true, TSVal: 1}
		b.core.EgressSegment(1, &b.rec, &seg, b.now, b.out)
		at += uint64(n)
	}
}

// ackBurst lets the far end acknowledge everything.
func (b *bench) ackBurst() {
	m := b.cache.Alloc()
	m.SetBounds(mbuf.Headroom, hdrLen)
	ack := Segment{M: m, Off: mbuf.Headroom + hdrLen, Seq: 1, Ack: 1 + uint32(b.rec.Egress.WNext), Win: 30000, Flags: ACK, HasTS: true, TSVal: 1}
	b.core.IngressSegment(1, &b.rec, &ack, b.now, b.out)
	b.work()
}

// openBurst sends a burst of frames from the wire and acknowledges them. The frames were sealed by other.
func (b *bench) openBurst(tb testing.TB, frames []byte, n int) {
	at := 0
	for range benchBurst {
		m := b.cache.Alloc()
		m.SetBounds(mbuf.Headroom, hdrLen+n+tcpcrypt.Overhead)
		copy(m.Buf()[mbuf.Headroom+hdrLen:], frames[at:at+n+tcpcrypt.Overhead])
		seg := Segment{M: m, Off: mbuf.Headroom + hdrLen, Len: n + tcpcrypt.Overhead, Seq: 1 + uint32(b.rec.Ingress.WNext), Ack: 1, Win: 30000, Flags: ACK, HasTS: true, TSVal: 1}
		b.core.IngressSegment(1, &b.rec, &seg, b.now, b.out)
		at += n + tcpcrypt.Overhead
	}
	b.work()
	m := b.cache.Alloc()
	m.SetBounds(mbuf.Headroom, hdrLen)
	ack := Segment{M: m, Off: mbuf.Headroom + hdrLen, Seq: 1, Ack: 1 + uint32(b.rec.Ingress.PNext), Win: 30000, Flags: ACK, HasTS: true, TSVal: 1}
	b.core.EgressSegment(1, &b.rec, &ack, b.now, b.out)
	b.work()
	if b.rec.Ingress.WOpen != b.rec.Ingress.WNext || b.rec.Ingress.WAckH != b.rec.Ingress.WOpen {
		tb.Fatal("frames were not opened")
	}
}

func benchFrames(tb testing.TB, at, n int) []byte {
	s := sealer{t: tb, master: tcpcrypt.MasterKey{1}, aead: tcpcrypt.AES128GCM, out: make([]byte, at, at+benchBurst*(n+tcpcrypt.Overhead))}
	for range benchBurst {
		s.frame(data(n))
	}
	return s.out[at:]
}

func BenchmarkSealInOrder(b *testing.B) {
	for _, n := range []int{64, 1380} {
		for _, noop := range []bool{false, true} {
			b.Run(name(n, noop), func(b *testing.B) {
				s := newBench(b, tcpcrypt.AB)
				s.noop = noop
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for i := 0; i < b.N; i += benchBurst {
					s.sealBurst(n)
				}
			})
		}
	}
}

func BenchmarkOpenInOrder(b *testing.B) {
	for _, n := range []int{64, 1380} {
		for _, noop := range []bool{false, true} {
			b.Run(name(n, noop), func(b *testing.B) {
				s := newBench(b, tcpcrypt.BA)
				s.noop = noop
				frames := benchFrames(b, 0, n)
				for at := 0; noop && at < len(frames); at += n + tcpcrypt.Overhead {
					frames[at+tcpcrypt.HeaderLen] = 0 // what is left unopened must still parse as plaintext
				}
				rec := s.rec
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for i := 0; i < b.N; i += benchBurst {
					s.rec.Ingress, s.rec.Egress = rec.Ingress, rec.Egress // the same frames again
					s.openBurst(b, frames, n)
				}
			})
		}
	}
}

func name(n int, noop bool) string {
	if noop {
		return fmt.Sprintf("%d/without-crypto", n)
	}
	return fmt.Sprintf("%d/with-crypto", n)
}

func TestInOrderPathsAllocateNothing(t *testing.T) {
	s := newBench(t, tcpcrypt.AB)
	if n := testing.AllocsPerRun(100, func() { s.sealBurst(1000) }); n != 0 {
		t.Errorf("sealing a burst: %v allocations", n)
	}
	o := newBench(t, tcpcrypt.BA)
	frames := benchFrames(t, 0, 1000)
	rec := o.rec
	if n := testing.AllocsPerRun(100, func() {
		o.rec.Ingress, o.rec.Egress = rec.Ingress, rec.Egress
		o.openBurst(t, frames, 1000)
	}); n != 0 {
		t.Errorf("opening a burst: %v allocations", n)
	}
	if s.core.n[shm.SealedFrames] == 0 || o.core.n[shm.OpenedFrames] == 0 {
		t.Error("nothing was sealed or opened")
	}
}
