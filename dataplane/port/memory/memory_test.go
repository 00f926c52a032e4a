package memory

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/porttest"
)

func caches(t testing.TB, n, buffers int) []*mbuf.Cache {
	t.Helper()
	cs := make([]*mbuf.Cache, n)
	for i := range cs {
		a, err := mbuf.NewArena(buffers, mbuf.DefaultDataRoom)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
		cs[i] = mbuf.NewCache(a)
	}
	return cs
}

func closePort(t testing.TB, p port.Port) {
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}

func newEnd(t testing.TB, opt Options, cs []*mbuf.Cache) (*Port, *End) {
	t.Helper()
	p, e, err := NewEnd("m0", opt, cs)
	if err != nil {
		t.Fatal(err)
	}
	closePort(t, p)
	return p, e
}

func TestPairCarriesPacketsInOrderBetweenTwoThreads(t *testing.T) {
	const total = 20000
	ca, cb := caches(t, 1, 512), caches(t, 1, 512)
	a, b, err := NewPair("a", "b", Options{RingFrames: 100}, ca, cb)
	if err != nil {
		t.Fatal(err)
	}
	closePort(t, a)
	closePort(t, b)
	go func() {
		var ms [port.Burst]*mbuf.Mbuf
		for seq := uint64(0); seq < total; {
			n := 0
			for ; n < len(ms) && seq < total; n, seq = n+1, seq+1 {
				m := ca[0].Alloc()
				m.Append(make([]byte, 60+seq%1400))
				binary.BigEndian.PutUint64(m.Data(), seq)
				ms[n] = m
			}
			for sent := 0; sent < n; {
				k := a.Queue(0).TxBurst(ms[sent:n])
				if sent += k; k == 0 {
					runtime.Gosched()
				}
			}
		}
	}()
	var ms [port.Burst]*mbuf.Mbuf
	for want := uint64(0); want < total; {
		n := b.Queue(0).RxBurst(ms[:])
		if n == 0 {
			runtime.Gosched()
		}
		for _, m := range ms[:n] {
			if got := binary.BigEndian.Uint64(m.Data()); got != want || uint64(len(m.Data())) != 60+want%1400 {
				t.Fatalf("packet %d: got number %d, %d bytes", want, got, len(m.Data()))
			}
			want++
			cb[0].Free(m)
		}
	}
	if got := cb[0].Avail(); got != 512 {
		t.Errorf("receiver has %d of 512 buffers", got)
	}
}

func TestFullRingLeavesPacketsWithTheCaller(t *testing.T) {
	cs := caches(t, 1, 64)
	p, _ := newEnd(t, Options{RingFrames: 4}, cs)
	var ms [6]*mbuf.Mbuf
	for i := range ms {
		ms[i] = porttest.Alloc(t, cs[0], []byte("x"))
	}
	if n := p.Queue(0).TxBurst(ms[:]); n != 4 {
		t.Fatalf("took %d packets into 4 slots", n)
	}
	if got := cs[0].Avail(); got != 62 {
		t.Errorf("%d buffers free, want 62", got)
	}
}

func TestRetainedPacketSurvivesItsTransmission(t *testing.T) {
	cs := caches(t, 1, 4)
	p, e := newEnd(t, Options{}, cs)
	m := porttest.Alloc(t, cs[0], []byte("kept"))
	m.Retain()
	p.Queue(0).TxBurst([]*mbuf.Mbuf{m})
	if string(m.Data()) != "kept" || m.RefCnt() != 1 {
		t.Errorf("after sending: %q, %d references", m.Data(), m.RefCnt())
	}
	var buf [16]byte
	if n, ok := e.Collect(buf[:]); !ok || string(buf[:n]) != "kept" {
		t.Errorf("collected %q", buf[:n])
	}
}

func TestExhaustedPoolIsCountedNotFatal(t *testing.T) {
	p, e := newEnd(t, Options{}, caches(t, 1, 1))
	e.Inject([]byte("one"))
	e.Inject([]byte("two"))
	var ms [4]*mbuf.Mbuf
	if n := p.Queue(0).RxBurst(ms[:]); n != 1 {
		t.Fatalf("received %d", n)
	}
	if s := p.Queue(0).Stats(); s.RxNoMbuf != 1 {
		t.Errorf("stats %+v", s)
	}
}

func TestInjectRefusesWhatDoesNotFit(t *testing.T) {
	_, e := newEnd(t, Options{RingFrames: 1, FrameSize: 64}, caches(t, 1, 4))
	if e.Inject(make([]byte, 100)) {
		t.Error("a frame longer than a slot was taken")
	}
	if !e.Inject(nil) {
		t.Error("an empty frame was refused")
	}
	if e.Inject([]byte("x")) || e.Inject(nil) {
		t.Error("a frame was taken into a full ring")
	}
}

func TestWaitReturnsWhenThePortSends(t *testing.T) {
	cs := caches(t, 2, 16)
	p, e := newEnd(t, Options{}, cs)
	var buf [64]byte
	sent := make(chan struct{})
	for round := range 200 {
		go func() {
			defer func() { sent <- struct{}{} }()
			m := cs[round%2].Alloc()
			m.Append([]byte{byte(round)})
			p.Queue(round % 2).TxBurst([]*mbuf.Mbuf{m})
		}()
		for {
			if n, ok := e.Collect(buf[:]); ok {
				if n != 1 || buf[0] != byte(round) {
					t.Fatalf("round %d: %x", round, buf[:n])
				}
				break
			}
			if !e.Wait(t.Context().Done()) {
				t.Fatal("stopped")
			}
		}
		<-sent
	}
}

func TestWaitReturnsWhenStopped(t *testing.T) {
	_, e := newEnd(t, Options{}, caches(t, 1, 4))
	stop := make(chan struct{})
	close(stop)
	if e.Wait(stop) {
		t.Error("reported a frame")
	}
}

func TestDescriptorBecomesReadableWhenAFrameComes(t *testing.T) {
	p, e := newEnd(t, Options{}, caches(t, 1, 16))
	q := p.Queue(0)
	fds := []unix.PollFd{{Fd: int32(q.(port.Waiter).Fd()), Events: unix.POLLIN}}
	var ms [4]*mbuf.Mbuf
	for round := range 3 {
		if n := q.RxBurst(ms[:]); n != 0 {
			t.Fatalf("received %d", n)
		}
		if n, _ := unix.Poll(fds, 0); n != 0 {
			t.Fatalf("round %d: readable though nothing came", round)
		}
		e.Inject([]byte("x"))
		if n, _ := unix.Poll(fds, int(time.Second.Milliseconds())); n != 1 {
			t.Fatalf("round %d: not readable", round)
		}
		if n := q.RxBurst(ms[:]); n != 1 {
			t.Fatalf("round %d: received %d", round, n)
		}
	}
}

func TestBothDirectionsOfAConnectionReachTheSameQueue(t *testing.T) {
	v4 := func(src, dst byte, sport, dport uint16) []byte {
		f := make([]byte, 14+20+20)
		binary.BigEndian.PutUint16(f[12:], 0x0800)
		ip := f[14:]
		ip[0], ip[9], ip[15], ip[19] = 0x45, 6, src, dst
		binary.BigEndian.PutUint16(ip[20:], sport)
		binary.BigEndian.PutUint16(ip[22:], dport)
		return f
	}
	used := map[uint32]bool{}
	for sport := range uint16(64) {
		there, back := FlowHash(v4(1, 2, sport, 80)), FlowHash(v4(2, 1, 80, sport))
		if there != back {
			t.Fatalf("port %d: %#x and %#x", sport, there, back)
		}
		used[there%4] = true
	}
	if len(used) != 4 {
		t.Errorf("64 flows used %d of 4 queues", len(used))
	}
}

func TestSourceRepeatsItsFramesAndTakesBackBuffers(t *testing.T) {
	cs := caches(t, 1, 64)
	frames := [][]byte{[]byte("first"), []byte("second")}
	s, err := NewSource("src", Options{RxCksumGood: true}, cs, Cycle(frames))
	if err != nil {
		t.Fatal(err)
	}
	var ms [3]*mbuf.Mbuf
	if n := s.Queue(0).RxBurst(ms[:]); n != 3 {
		t.Fatalf("received %d", n)
	}
	for i, m := range ms {
		if !bytes.Equal(m.Data(), frames[i%2]) || m.OlFlags&mbuf.RxL4CksumGood == 0 {
			t.Errorf("packet %d: %q, flags %#x", i, m.Data(), m.OlFlags)
		}
	}
	s.Queue(0).TxBurst(ms[:])
	if p, b := s.Sent(0); p != 3 || b != 16 || cs[0].Avail() != 64 {
		t.Errorf("sent %d packets, %d bytes; %d buffers free", p, b, cs[0].Avail())
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	cs := caches(t, 2, 4)
	for name, opt := range map[string]Options{
		"negative ring":   {RingFrames: -1},
		"huge ring":       {RingFrames: 1 << 30},
		"tiny frame":      {FrameSize: 10},
		"frame too large": {FrameSize: 1 << 20},
	} {
		if _, _, err := NewEnd("m", opt, cs); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, _, err := NewEnd("m", Options{}, nil); err == nil {
		t.Error("no cache: accepted")
	}
	if _, _, err := NewPair("a", "b", Options{}, cs, cs[:1]); err == nil {
		t.Error("unequal queues: accepted")
	}
}

func BenchmarkPair(b *testing.B) {
	ca, cb := caches(b, 1, 512), caches(b, 1, 512)
	pa, pb, err := NewPair("a", "b", Options{}, ca, cb)
	if err != nil {
		b.Fatal(err)
	}
	closePort(b, pa)
	closePort(b, pb)
	var ms [port.Burst]*mbuf.Mbuf
	frame := make([]byte, 1434)
	b.SetBytes(int64(len(frame) * port.Burst))
	b.ReportAllocs()
	for b.Loop() {
		ca[0].AllocBurst(ms[:])
		for _, m := range ms {
			m.Append(frame)
		}
		pa.Queue(0).TxBurst(ms[:])
		n := pb.Queue(0).RxBurst(ms[:])
		cb[0].FreeBurst(ms[:n])
	}
}

func BenchmarkSource(b *testing.B) {
	s, err := NewSource("s", Options{}, caches(b, 1, 512), Cycle([][]byte{make([]byte, 1434)}))
	if err != nil {
		b.Fatal(err)
	}
	var ms [port.Burst]*mbuf.Mbuf
	b.SetBytes(1434 * port.Burst)
	b.ReportAllocs()
	for b.Loop() {
		s.Queue(0).TxBurst(ms[:s.Queue(0).RxBurst(ms[:])])
	}
}
