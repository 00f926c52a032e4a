package afxdp

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/porttest"
)

// cut cuts b into pieces of n bytes.
func cut(b []byte, n int) [][]byte { return slices.Collect(slices.Chunk(b, n)) }

func TestPiecesBecomeOneBuffer(t *testing.T) {
	const chunk, room = 256, 1024
	for _, c := range []struct {
		name   string
		pieces [][]byte
		want   int // bytes, 0 for a packet that is dropped
		drop   port.Stats
	}{
		{"one piece", cut(porttest.Frame(60, 1), chunk-16), 60, port.Stats{}},
		{"a full chunk", cut(porttest.Frame(240, 1), 240), 240, port.Stats{}},
		{"a chunk and a byte", cut(porttest.Frame(241, 1), 240), 241, port.Stats{}},
		{"as long as a frame may be", cut(porttest.Frame(900, 1), 240), 900, port.Stats{}},
		{"pieces of one byte", cut(porttest.Frame(20, 1), 1), 20, port.Stats{}},
		{"empty pieces", [][]byte{nil, porttest.Frame(60, 1), nil}, 60, port.Stats{}},
		{"too long", cut(porttest.Frame(901, 1), 240), 0, port.Stats{RxSuperPacket: 1}},
		{"too long by far", cut(porttest.Frame(240*15, 1), 240), 0, port.Stats{RxSuperPacket: 1}},
		{"shorter than a header", cut(porttest.Frame(14, 1)[:13], 240), 0, port.Stats{RxTruncated: 1}},
		{"shorter than a header in two", cut(porttest.Frame(14, 1)[:13], 7), 0, port.Stats{RxTruncated: 1}},
		{"nothing", [][]byte{nil}, 0, port.Stats{RxTruncated: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cache := arena(t, 8, room)
			k := fake(32, 0, chunk)
			q := queueOf(cache, 900, k.socket)
			for range 10 { // around the ring
				k.deliver(c.pieces, true)
				k.deliver(cut(porttest.Frame(300, 9), 240), true) // whatever came before does not harm it
				var ms [4]*mbuf.Mbuf
				n := q.RxBurst(ms[:])
				want := [][]byte{porttest.Frame(300, 9)}
				if c.want > 0 {
					want = [][]byte{bytes.Join(c.pieces, nil), porttest.Frame(300, 9)}
				}
				if n != len(want) {
					t.Fatalf("%d packets", n)
				}
				for i, m := range ms[:n] {
					if !bytes.Equal(m.Data(), want[i]) || m.NbSegs != 1 || int(m.PktLen) != len(want[i]) {
						t.Errorf("packet %d has %d bytes", i, m.PktLen)
					}
				}
				cache.FreeBurst(ms[:n])
			}
			got := port.Stats{RxSuperPacket: q.superPackets.Load() / 10, RxTruncated: q.truncated.Load() / 10, RxNoMbuf: q.noMbuf.Load()}
			if got != c.drop {
				t.Errorf("%+v", got)
			}
			if free := k.fill.producer.Load() - k.filled; free != 32 {
				t.Errorf("the kernel has %d chunks of 32", free)
			}
		})
	}
}

func TestHalfAPacketIsKeptUntilTheRestComes(t *testing.T) {
	cache := arena(t, 8, 1024)
	one, other := fake(8, 0, 256), fake(8, 0, 256)
	q := queueOf(cache, 1000, one.socket, other.socket)
	var ms [4]*mbuf.Mbuf
	for round := range 20 {
		f := porttest.Frame(700, byte(round))
		pieces := cut(f, 240)
		for i := range pieces {
			if n := q.RxBurst(ms[:]); n != 0 {
				t.Fatalf("%d packets before the last piece", n)
			}
			one.deliver(pieces[i:i+1], i == len(pieces)-1)
			if i == 1 { // what comes at another queue meanwhile does not get mixed up with it
				other.deliver(cut(porttest.Frame(500, 77), 240), true)
				if n := q.RxBurst(ms[:]); n != 1 || !bytes.Equal(ms[0].Data(), porttest.Frame(500, 77)) {
					t.Fatalf("%d packets", n)
				}
				cache.Free(ms[0])
			}
		}
		if n := q.RxBurst(ms[:]); n != 1 || !bytes.Equal(ms[0].Data(), f) {
			t.Fatalf("%d packets", n)
		}
		cache.Free(ms[0])
	}
	// A worker that goes over to other sockets forgets what is half there.
	one.deliver(cut(porttest.Frame(100, 1), 50)[:1], false)
	q.RxBurst(ms[:])
	q.next.Store(&attachment{promisc: -1})
	if q.RxBurst(ms[:]); len(q.at.sockets) != 0 || !q.taken() {
		t.Error("the worker did not go over")
	}
}

func TestPacketsWithoutABufferAreCountedOnce(t *testing.T) {
	cache := arena(t, 1, 1024)
	k := fake(16, 0, 256)
	q := queueOf(cache, 1000, k.socket)
	m := cache.Alloc()
	k.deliver(cut(porttest.Frame(700, 1), 240), true)
	k.deliver(cut(porttest.Frame(100, 1), 240), true)
	var ms [4]*mbuf.Mbuf
	if n := q.RxBurst(ms[:]); n != 0 || q.noMbuf.Load() != 2 {
		t.Errorf("%d packets, %d counted", n, q.noMbuf.Load())
	}
	cache.Free(m)
	k.deliver(cut(porttest.Frame(700, 1), 240), true)
	if n := q.RxBurst(ms[:]); n != 1 {
		t.Fatalf("%d packets", n)
	}
	cache.Free(ms[0])
}

func TestHostileDescriptorsAreDropsAndNothingElse(t *testing.T) {
	const rx, chunk = 8, 256
	for name, d := range map[string]unix.XDPDesc{
		"beyond the chunk":      {Addr: 200, Len: 57},
		"length of all ones":    {Addr: 0, Len: ^uint32(0)},
		"in what is to be sent": {Addr: rx * chunk, Len: 60},
		"outside of the memory": {Addr: 1 << 40, Len: 60},
		"at the end of numbers": {Addr: ^uint64(0) - 10, Len: 60},
	} {
		t.Run(name, func(t *testing.T) {
			cache := arena(t, 4, 1024)
			k := fake(rx, 8, chunk)
			q := queueOf(cache, 1000, k.socket)
			var ms [4]*mbuf.Mbuf
			for i, options := range []uint32{0, unix.XDP_PKT_CONTD, ^uint32(0), 0} {
				d.Options = options
				k.describe(d)
				if n := q.RxBurst(ms[:]); n != 0 {
					t.Errorf("descriptor %d came in as a packet", i)
				}
			}
			if q.truncated.Load() != 2 {
				t.Errorf("%d counted", q.truncated.Load())
			}
		})
	}
	t.Run("an index out of bounds", func(t *testing.T) {
		k := fake(rx, 8, chunk)
		q := queueOf(arena(t, 4, 1024), 1000, k.socket)
		var ms [4]*mbuf.Mbuf
		for _, jump := range []uint32{rx + 1, 1 << 31, ^uint32(0)} {
			k.rx.producer.Store(k.rxMade + jump)
			k.done.producer.Store(k.doneMade + jump)
			if n := q.RxBurst(ms[:]); n != 0 {
				t.Errorf("%d packets", n)
			}
			q.TxBurst(nil)
		}
	})
}

func TestSentPacketsAreCutIntoChunksInOrder(t *testing.T) {
	const chunk = 256
	cache := arena(t, 64, 2048)
	k := fake(8, 16, chunk)
	q := queueOf(cache, 1500, k.socket)
	var want [][]byte
	var wantPieces []int
	for i, n := range []int{14, 60, 255, 256, 257, 512, 513, 1500, 700, 1024} {
		f := porttest.Frame(n, byte(i))
		want, wantPieces = append(want, f), append(wantPieces, (n+chunk-1)/chunk)
	}
	for round := range 20 {
		var ms []*mbuf.Mbuf
		for i, f := range want {
			if i%3 == 2 {
				ms = append(ms, chain(t, cache, f[:len(f)/3], f[len(f)/3:]))
			} else {
				ms = append(ms, porttest.Alloc(t, cache, f))
			}
		}
		var got [][]byte
		var pieces []int
		for sent := 0; sent < len(ms); {
			n := q.TxBurst(ms[sent:])
			frames, p := k.send()
			if n != len(frames) || n == 0 {
				t.Fatalf("round %d: took %d, the kernel saw %d", round, n, len(frames))
			}
			sent += n
			got, pieces = append(got, frames...), append(pieces, p...)
		}
		if !slices.EqualFunc(got, want, bytes.Equal) || !slices.Equal(pieces, wantPieces) {
			t.Fatalf("round %d: frames in %v pieces, want %v", round, pieces, wantPieces)
		}
	}
	if k.reap(); len(k.free) != 16 {
		t.Errorf("%d chunks of 16 are free", len(k.free))
	}
}

func TestPacketsThatCannotBeSentAreCountedOrLeft(t *testing.T) {
	cache := arena(t, 64, 2048)
	k := fake(8, 4, 256)
	q := queueOf(cache, 1000, k.socket)
	ms := []*mbuf.Mbuf{porttest.Alloc(t, cache, porttest.Frame(1001, 1)), porttest.Alloc(t, cache, porttest.Frame(14, 1)[:13]), porttest.Alloc(t, cache, porttest.Frame(900, 1)), porttest.Alloc(t, cache, porttest.Frame(60, 1))}
	if n := q.TxBurst(ms); n != 3 || q.txErrors.Load() != 2 {
		t.Errorf("took %d, counted %d", n, q.txErrors.Load())
	}
	if n := q.TxBurst(ms[3:]); n != 0 {
		t.Error("a full ring took a packet")
	}
	if frames, _ := k.send(); len(frames) != 1 {
		t.Errorf("%d frames", len(frames))
	}
	if n := q.TxBurst(ms[3:]); n != 1 {
		t.Error("what was sent did not make room")
	}
	// Chunks that are not to be sent from do not come into use.
	for _, addr := range []uint64{0, 1 << 40, ^uint64(0)} {
		k.done.entries[k.doneMade%4] = addr
		k.doneMade++
		k.done.producer.Store(k.doneMade)
		k.reap()
	}
	if len(k.free) > 4 || slices.ContainsFunc(k.free, func(a uint64) bool { return a < 8*256 || a >= 12*256 }) {
		t.Errorf("free chunks %d", k.free)
	}
}

func TestPacketPathAllocatesNothing(t *testing.T) {
	cache := arena(t, 64, 2048)
	k := fake(64, 64, 256)
	q := queueOf(cache, 1500, k.socket)
	var ms [8]*mbuf.Mbuf
	f := cut(porttest.Frame(700, 1), 240)
	if n := testing.AllocsPerRun(100, func() {
		k.deliver(f, true)
		n := q.RxBurst(ms[:])
		if q.TxBurst(ms[:n]) != 1 {
			t.Fatal("not taken")
		}
		k.sent = k.tx.producer.Load()
		k.tx.consumer.Store(k.sent)
		for i := range uint32(3) {
			k.done.entries[(k.doneMade+i)%64] = k.tx.entries[(k.sent-3+i)%64].Addr
		}
		k.doneMade += 3
		k.done.producer.Store(k.doneMade)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// chain makes a packet in two buffers.
func chain(t *testing.T, c *mbuf.Cache, a, b []byte) *mbuf.Mbuf {
	t.Helper()
	first, second := porttest.Alloc(t, c, a), porttest.Alloc(t, c, b)
	first.Next, first.NbSegs = unsafe.Pointer(second), 2
	first.PktLen = uint32(len(a) + len(b))
	return first
}

// FuzzDescriptors has the kernel describe received frames with any addresses, lengths and options.
func FuzzDescriptors(f *testing.F) {
	f.Add([]byte{0, 60, 0, 1, 200, 1, 2, 10, 0}, uint8(4))
	f.Add([]byte{255, 255, 255, 7, 255, 0}, uint8(1))
	f.Add(bytes.Repeat([]byte{3, 240, 1}, 30), uint8(32))
	f.Fuzz(func(t *testing.T, code []byte, burst uint8) {
		const rx, chunk, longest = 8, 256, 600
		cache := arena(t, 4, 512)
		k := fake(rx, 4, chunk)
		q := queueOf(cache, longest, k.socket)
		ms := make([]*mbuf.Mbuf, burst%8+1)
		ends, packets := uint64(0), uint64(0)
		receive := func() {
			n := q.RxBurst(ms)
			for _, m := range ms[:n] {
				if m.DataLen < ethHeader || m.DataLen > longest || m.NbSegs != 1 {
					panic(fmt.Sprint("a packet of ", m.DataLen))
				}
			}
			packets += uint64(n)
			cache.FreeBurst(ms[:n])
		}
		for d := range slices.Chunk(code, 3) {
			if len(d) < 3 {
				break
			}
			for k.rx.producer.Load()-k.rx.consumer.Load() == rx {
				receive()
			}
			k.filled++ // it was in the ring of chunks, or not
			k.fill.consumer.Store(k.filled)
			x := unix.XDPDesc{Addr: uint64(d[0]) * 37, Len: uint32(d[1]) << (d[2] >> 4), Options: uint32(d[2] & 1)}
			if d[2]&1 == 0 {
				ends++
			}
			k.describe(x)
		}
		for k.rx.producer.Load() != k.rx.consumer.Load() {
			receive()
		}
		if dropped := q.noMbuf.Load() + q.superPackets.Load() + q.truncated.Load(); packets+dropped != ends {
			t.Errorf("%d packets and %d drops of %d", packets, dropped, ends)
		}
		q.drop()
	})
}
