package spread

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/memory"
)

func TestEachPacketReachesTheWorkerOfItsFlow(t *testing.T) {
	const flows, each = 64, 20
	r := newRig(t, 3, Options{}, memory.Options{RingFrames: 4096})
	for n := range uint32(each) {
		for f := range uint16(flows) {
			if !r.end.Inject(segment(f, n)) {
				t.Fatal("no room")
			}
		}
	}
	var next [flows]uint32
	total := 0
	for round := 0; total < flows*each && round < 100; round++ {
		for w := range 3 {
			total += r.poll(w, func(m *mbuf.Mbuf) {
				f := flowOf(m.Data())
				if want := r.hash.Worker(m.Data(), 3); want != w {
					t.Errorf("flow %d is worker %d's, and came to %d", f, want, w)
				}
				if n := numberOf(m.Data()); n != next[f] {
					t.Errorf("flow %d: number %d, want %d", f, n, next[f])
				}
				next[f]++
			})
		}
	}
	if total != flows*each {
		t.Errorf("%d of %d packets came", total, flows*each)
	}
}

func TestOrderHoldsWhileWorkersRace(t *testing.T) {
	const workers, flows, each = 3, 48, 3000
	r := newRig(t, workers, Options{Rx: 4096, Tx: 64}, memory.Options{RingFrames: 512})
	var received, lost atomic.Uint64
	var stop atomic.Bool
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			q, cache := r.Queue(w), r.caches[w]
			var ms [port.Burst]*mbuf.Mbuf
			for !stop.Load() {
				n := q.RxBurst(ms[:])
				if n == 0 {
					runtime.Gosched()
					continue
				}
				for rest := ms[:n]; len(rest) > 0; { // back by where they came
					sent := q.TxBurst(rest)
					if rest = rest[sent:]; sent == 0 {
						if stop.Load() {
							cache.FreeBurst(rest)
							break
						}
						runtime.Gosched()
					}
				}
				received.Add(uint64(n))
			}
		})
	}
	var next [flows]uint32
	var came uint64
	collect := func() {
		var buf [2048]byte
		for {
			n, ok := r.end.Collect(buf[:])
			if !ok {
				return
			}
			f, number := flowOf(buf[:n]), numberOf(buf[:n])
			if number < next[f] {
				t.Errorf("flow %d: number %d came behind %d", f, number, next[f]-1)
			}
			next[f] = number + 1
			came++
		}
	}
	for n := range uint32(each) {
		for f := range uint16(flows) {
			for s := segment(f, n); !r.end.Inject(s); {
				collect()
				runtime.Gosched()
			}
		}
	}
	full := func() (n uint64) {
		for w := range workers {
			n += r.Queue(w).Stats().RxSpreadFull
		}
		return n
	}
	for end := time.Now().Add(20 * time.Second); came+full() < flows*each && time.Now().Before(end); runtime.Gosched() {
		collect()
	}
	stop.Store(true)
	running.Wait()
	if lost.Store(full()); came+lost.Load() != flows*each || lost.Load() > flows*each/2 {
		t.Errorf("%d of %d packets came back, %d were lost in full rings", came, flows*each, lost.Load())
	}
}

// flows returns a flow of each of two workers.
func (r *rig) flows() (flow [2]uint16) {
	for f := range uint16(100) {
		flow[r.hash.Worker(segment(f, 0), 2)] = f
	}
	return flow
}

func TestWorkerThatFindsLittleReceivesMoreBehindIt(t *testing.T) {
	r := newRig(t, 2, Options{}, memory.Options{})
	flow := r.flows()
	var ms [port.Burst]*mbuf.Mbuf
	r.end.Inject(segment(flow[1], 0))
	r.Queue(0).RxBurst(ms[:]) // it is in the ring of worker 1
	for n := range uint32(10) {
		r.end.Inject(segment(flow[1], 1+n))
	}
	n := r.Queue(1).RxBurst(ms[:])
	if n != 11 {
		t.Errorf("%d of 11 packets came at once", n)
	}
	for want, m := range ms[:n] {
		if numberOf(m.Data()) != uint32(want) {
			t.Errorf("number %d, want %d", numberOf(m.Data()), want)
		}
	}
	r.caches[1].FreeBurst(ms[:n])
}

func TestMoreThanABurstOfItsOwnWaitsInOrder(t *testing.T) {
	r := newRig(t, 2, Options{Rx: 16}, memory.Options{})
	flow := r.flows()
	for n := range uint32(2 * port.Burst) { // all of which one turn receives
		r.end.Inject(segment(flow[0], n))
	}
	var ms [port.Burst]*mbuf.Mbuf
	next := uint32(0)
	for range 2 {
		n := r.Queue(0).RxBurst(ms[:])
		for _, m := range ms[:n] {
			if numberOf(m.Data()) != next {
				t.Fatalf("number %d, want %d", numberOf(m.Data()), next)
			}
			next++
		}
		r.caches[0].FreeBurst(ms[:n])
		r.turn.Store(true) // as if worker 1 had it
	}
	r.turn.Store(false)
	if next != 2*port.Burst {
		t.Errorf("%d of %d packets came", next, 2*port.Burst)
	}
}

func TestFullRingLosesPacketsByName(t *testing.T) {
	r := newRig(t, 2, Options{Rx: 16}, memory.Options{})
	flow := r.flows()
	for n := range uint32(100) {
		r.end.Inject(segment(flow[1], n))
	}
	for range 3 { // a turn takes 64 packets
		if n := r.poll(0, nil); n != 0 {
			t.Errorf("worker 0 got %d packets", n)
		}
	}
	if lost := r.Queue(1).Stats().RxSpreadFull; lost != 84 || r.Queue(0).Stats().RxSpreadFull != 0 || r.Lost() != lost {
		t.Errorf("%d packets were lost, want 84 of the other worker's", lost)
	}
	next := uint32(0)
	r.poll(1, func(m *mbuf.Mbuf) {
		if numberOf(m.Data()) != next {
			t.Errorf("number %d, want %d", numberOf(m.Data()), next)
		}
		next++
	})
	if next != 16 {
		t.Errorf("%d packets were kept", next)
	}
}

func TestWorkerWithoutTheTurnSendsThroughItsRing(t *testing.T) {
	r := newRig(t, 2, Options{Tx: 8}, memory.Options{})
	var ms [12]*mbuf.Mbuf
	for i := range ms {
		ms[i] = r.caches[1].Alloc()
		ms[i].Append(segment(1, uint32(i)))
	}
	r.turn.Store(true) // as if worker 0 had it
	if n := r.Queue(1).TxBurst(ms[:]); n != 8 {
		t.Fatalf("%d packets were taken, want 8", n)
	}
	var buf [2048]byte
	if _, ok := r.end.Collect(buf[:]); ok {
		t.Fatal("sent without the turn")
	}
	r.give(r.queues[0], false) // who gives it up sees to what came meanwhile
	if n := r.Queue(1).TxBurst(ms[8:]); n != 4 {
		t.Fatalf("%d packets were taken, want 4", n)
	}
	for want := range uint32(12) {
		if n, ok := r.end.Collect(buf[:]); !ok || numberOf(buf[:n]) != want {
			t.Fatalf("packet %d is not there", want)
		}
	}
}

func TestFullDeviceLeavesPacketsInOrder(t *testing.T) {
	r := newRig(t, 2, Options{Tx: 64}, memory.Options{RingFrames: 16})
	var ms [40]*mbuf.Mbuf
	for i := range ms {
		ms[i] = r.caches[0].Alloc()
		ms[i].Append(segment(1, uint32(i)))
	}
	q := r.Queue(0)
	sent := q.TxBurst(ms[:])
	if sent != 16 {
		t.Fatalf("a device with room for 16 took %d", sent)
	}
	r.turn.Store(true)
	sent += q.TxBurst(ms[sent:])
	r.turn.Store(false)
	if sent != len(ms) {
		t.Fatalf("the ring has room, and took %d", sent)
	}
	var buf [2048]byte
	for want := range uint32(len(ms)) {
		n, ok := r.end.Collect(buf[:])
		if !ok {
			r.poll(0, nil) // a poll sends what is left
			n, ok = r.end.Collect(buf[:])
		}
		if !ok || numberOf(buf[:n]) != want {
			t.Fatalf("packet %d is not there", want)
		}
	}
}

func TestClosingABusyPortLosesNoBuffer(t *testing.T) {
	r := newRig(t, 4, Options{}, memory.Options{RingFrames: 2048})
	rng := rand.New(rand.NewPCG(1, 1))
	for n := range uint32(2000) {
		r.end.Inject(segment(uint16(rng.IntN(100)), n))
	}
	r.poll(2, nil) // the others' packets stay in their rings
	r.turn.Store(true)
	for range 100 {
		m := r.caches[1].Alloc()
		m.Append(segment(1, 1))
		if r.Queue(1).TxBurst([]*mbuf.Mbuf{m}) != 1 {
			t.Fatal("no room")
		}
	}
	r.turn.Store(false)
	r.done(t)
	var buf [2048]byte
	sent := 0
	for _, ok := r.end.Collect(buf[:]); ok; _, ok = r.end.Collect(buf[:]) {
		sent++
	}
	if sent != 100 {
		t.Errorf("%d of 100 packets were sent", sent)
	}
}

func TestSleepingWorkerIsWoken(t *testing.T) {
	r := newRig(t, 2, Options{}, memory.Options{})
	flow := r.flows()
	ready := func(w int) (n int) {
		for _, fd := range port.Fds(r.Queue(w)) {
			set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if got, err := unix.Poll(set, 0); err != nil {
				t.Fatal(err)
			} else if got > 0 {
				n++
			}
		}
		return n
	}
	for w := range 2 {
		ready(w)
		r.poll(w, nil) // nothing: the bells are armed
		if n := ready(w); n != 0 {
			t.Fatalf("worker %d has %d descriptors ready and no packet", w, n)
		}
	}
	r.end.Inject(segment(flow[1], 7))
	if ready(0) != 1 || ready(1) != 1 {
		t.Error("a packet at the device does not wake both workers")
	}
	r.poll(0, nil) // finds it
	r.poll(0, nil) // finds nothing, and arms the device's bell
	if ready(0) != 0 || ready(1) != 1 {
		t.Error("the packet is in the ring of worker 1, which is not awake")
	}
	if n := r.poll(1, nil); n != 1 || ready(1) != 0 {
		t.Errorf("worker 1 got %d packets", n)
	}
}

func TestPacketPathAllocatesNothing(t *testing.T) {
	testenv.CountsAllocs(t)
	r := newRig(t, 2, Options{}, memory.Options{})
	frames := [][]byte{segment(1, 1), segment(2, 2), segment(3, 3), segment(4, 4)}
	var ms [port.Burst]*mbuf.Mbuf
	var buf [2048]byte
	if n := testing.AllocsPerRun(1000, func() {
		for _, f := range frames {
			r.end.Inject(f)
		}
		for w := range 2 {
			q := r.Queue(w)
			q.TxBurst(ms[:q.RxBurst(ms[:])])
		}
		for _, ok := r.end.Collect(buf[:]); ok; _, ok = r.end.Collect(buf[:]) {
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWhatWorkersWriteLiesFarApart(t *testing.T) {
	var q queue
	var p Port
	var r ring
	for _, c := range []struct {
		name     string
		from, to uintptr // the last byte of one writer, the first of the next
	}{
		{"a ring's slots and its producer", unsafe.Offsetof(r.mask) + 7, unsafe.Offsetof(r.head)},
		{"a ring's producer and its consumer", unsafe.Offsetof(r.tailSeen) + 7, unsafe.Offsetof(r.tail)},
		{"a ring's consumer and what is behind it", unsafe.Offsetof(r.headSeen) + 7, unsafe.Sizeof(r)},
		{"what a queue's worker uses and the ring to it", unsafe.Offsetof(q.burst) + unsafe.Sizeof(q.burst) - 1, unsafe.Offsetof(q.rx)},
		{"the bell and the ring from its worker", unsafe.Offsetof(q.armed), unsafe.Offsetof(q.tx)},
		{"the losses and the next queue", unsafe.Offsetof(q.full) + 7, unsafe.Sizeof(q)},
		{"the constants of a port and its turn", unsafe.Offsetof(p.cache) + 7, unsafe.Offsetof(p.turn)},
		{"the turn and what is behind it", unsafe.Offsetof(p.first) + 7, unsafe.Sizeof(p)},
	} {
		if c.to-c.from < 128 {
			t.Errorf("%s are %d bytes apart", c.name, c.to-c.from)
		}
	}
}

func TestPortSaysWhatItIs(t *testing.T) {
	r := newRig(t, 2, Options{}, memory.Options{MTU: 1400})
	if r.Kind() != "memory+spread" || !Is(r.Kind()) || Is("memory") || r.Name() != "one" || r.Queues() != 2 || !r.Caps().RSS || r.MTU() != 1400 ||
		r.Follow() != (port.State{Link: port.LinkUp, MTU: 1400, Attached: 1}) {
		t.Errorf("%s %s %d %+v %d %+v", r.Kind(), r.Name(), r.Queues(), r.Caps(), r.MTU(), r.Follow())
	}
}

func TestPoolThatOneThreadOwnsIsRefused(t *testing.T) {
	arena, err := mbuf.NewArena(1024, 256)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	shared := mbuf.NewShared(arena)
	dev := mbuf.NewCache(shared)
	one, err := memory.NewSource("one", memory.Options{}, []*mbuf.Cache{dev}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, caches := range map[string][2][]*mbuf.Cache{
		"Arena does not allow":   {{mbuf.NewCache(arena)}, {mbuf.NewCache(arena), mbuf.NewCache(arena)}},
		"has a cache of its own": {{dev}, {mbuf.NewCache(shared), dev}},
		"for 0 workers":          {{dev}, nil},
	} {
		if _, err := New(one, caches[0][0], caches[1], newHash(t), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	ok := []*mbuf.Cache{mbuf.NewCache(shared), mbuf.NewCache(shared)}
	for _, o := range []Options{{Rx: -1}, {Tx: 1 << 21}} {
		if _, err := New(one, dev, ok, newHash(t), o); err == nil || !strings.Contains(err.Error(), "out of range") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
