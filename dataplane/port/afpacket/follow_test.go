package afpacket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// remake removes the wire and makes one of the same names.
func (w *wire) remake(t testing.TB) {
	t.Helper()
	testenv.RunIn(t, w.nsA, "ip", "link", "del", w.devA)
	testenv.RunIn(t, w.nsA, "ip", "link", "add", w.devA, "type", "veth", "peer", "name", w.devB, "netns", w.nsB)
	for _, end := range [][2]string{{w.nsA, w.devA}, {w.nsB, w.devB}} {
		testenv.RunIn(t, end[0], "ip", "link", "set", end[1], "addrgenmode", "none", "up")
	}
}

// followed calls Follow until the state is as wanted, while somebody polls.
func followed(t testing.TB, ns string, p *Port, want func(port.State) bool) (s port.State) {
	t.Helper()
	testenv.InNetNS(t, ns, func() {
		var ms [port.Burst]*mbuf.Mbuf
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			s = p.Follow()
			for i := range p.Queues() {
				p.queues[i].cache.FreeBurst(ms[:p.Queue(i).RxBurst(ms[:])])
			}
			if want(s) {
				return
			}
		}
		t.Errorf("state %+v", s)
	})
	return s
}

func isUp(s port.State) bool { return s.Link == port.LinkUp }

func TestInterfaceMadeAnewIsTakenUpAgain(t *testing.T) {
	w := newWire(t)
	fd := w.port.queues[0].Fd()
	for round := range 3 {
		w.remake(t)
		s := followed(t, w.nsA, w.port, isUp)
		if s.Attached != round+2 || s.Fault != nil {
			t.Errorf("state %+v", s)
		}
		cfg := config(t, 1, 64)
		far := openIn(t, w.nsB, w.devB, cfg)
		send(t, far, cfg.Caches[0], testFrame(60, byte(round)))
		if got, _ := receive(w.port, w.cache, 0, 1, etherType(0x88b5)); len(got) != 1 {
			t.Fatalf("round %d: nothing received", round)
		}
		send(t, w.port, w.cache, testFrame(61, byte(round)))
		if got, _ := receive(far, cfg.Caches[0], 0, 1, etherType(0x88b5)); len(got) != 1 || len(got[0]) != 61 {
			t.Fatalf("round %d: nothing sent", round)
		}
	}
	w.port.Follow()
	if n := len(w.port.queues[0].replaced); n != 0 || w.port.queues[0].Fd() != fd {
		t.Errorf("%d pairs of old sockets are open, descriptor %d was %d", n, w.port.queues[0].Fd(), fd)
	}
	if n := w.cache.Avail(); n != 8192 {
		t.Errorf("%d buffers lost", 8192-n)
	}
}

func TestDescriptorWakesForAnInterfaceMadeAnew(t *testing.T) {
	w := newWire(t)
	w.remake(t)
	followed(t, w.nsA, w.port, isUp)
	cfg := config(t, 1, 64)
	far := openIn(t, w.nsB, w.devB, cfg)
	receive(w.port, w.cache, 0, 1<<30, etherType(0x88b5))
	done := make(chan int, 1)
	go func() { done <- pollReadable(w.port.queues[0].Fd(), 5000) }()
	time.Sleep(20 * time.Millisecond)
	send(t, far, cfg.Caches[0], testFrame(60, 1))
	if n := <-done; n != 1 {
		t.Error("a sleeper was not woken")
	}
}

// TestWorkerGoesOverToNewSocketsWithoutALock is for the race detector: one goroutine polls and sends while another follows.
func TestWorkerGoesOverToNewSocketsWithoutALock(t *testing.T) {
	w := newWire(t)
	stop := make(chan struct{})
	var polling sync.WaitGroup
	polling.Go(func() {
		var ms [port.Burst]*mbuf.Mbuf
		for {
			select {
			case <-stop:
				return
			default:
			}
			w.cache.FreeBurst(ms[:w.port.Queue(0).RxBurst(ms[:])])
			if m := w.cache.Alloc(); m != nil && m.Append(testFrame(60, 1)) && w.port.Queue(0).TxBurst([]*mbuf.Mbuf{m}) == 0 {
				w.cache.Free(m)
			}
		}
	})
	for range 5 {
		w.remake(t)
		testenv.InNetNS(t, w.nsA, func() {
			for end := time.Now().Add(5 * time.Second); !isUp(w.port.Follow()); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Error("not taken up again")
					return
				}
			}
		})
		w.port.Queue(0).Stats()
	}
	close(stop)
	polling.Wait()
}

func TestMTUOfTheInterfaceIsFollowed(t *testing.T) {
	w := newWire(t)
	cfg := config(t, 1, 64)
	far := openIn(t, w.nsB, w.devB, cfg)
	room := mbuf.DefaultDataRoom - LinkOverhead
	for _, mtu := range []int{1400, 1500, room, 1500} {
		for _, end := range [][2]string{{w.nsA, w.devA}, {w.nsB, w.devB}} {
			testenv.RunIn(t, end[0], "ip", "link", "set", end[1], "mtu", fmt.Sprint(mtu))
		}
		followed(t, w.nsB, far, func(s port.State) bool { return s.MTU == mtu })
		if s := followed(t, w.nsA, w.port, func(s port.State) bool { return s.MTU == mtu }); s.Link != port.LinkUp || s.Fault != nil || w.port.MTU() != mtu {
			t.Errorf("%+v", s)
		}
		send(t, far, cfg.Caches[0], testFrame(mtu+14, 1))
		if got, _ := receive(w.port, w.cache, 0, 1, etherType(0x88b5)); len(got) != 1 || len(got[0]) != mtu+14 {
			t.Errorf("MTU %d: no frame of that size; %+v", mtu, w.port.Queue(0).Stats())
		}
	}
	testenv.RunIn(t, w.nsA, "ip", "link", "set", w.devA, "mtu", "9000")
	s := w.port.Follow()
	if want := fmt.Sprintf("ip link set dev %s mtu %d", w.devA, room); s.Fault == nil || !strings.Contains(s.Fault.Error(), want) || s.MTU != room {
		t.Errorf("an MTU that no buffer holds: %+v", s)
	}
}

func TestInterfaceThatMayNotBeClaimedIsNotTakenUp(t *testing.T) {
	w := newWire(t)
	held := errors.New("held by another")
	w.port.claim = func(string, int) error { return held }
	w.remake(t)
	if s := w.port.Follow(); s.Link != port.LinkGone || !errors.Is(s.Fault, held) {
		t.Errorf("%+v", s)
	}
	w.port.claim, w.port.failed = nil, time.Time{}
	followed(t, w.nsA, w.port, isUp)
}

func TestRenamedInterfaceIsStillThePort(t *testing.T) {
	w := newWire(t)
	testenv.RunIn(t, w.nsA, "ip", "link", "set", w.devA, "down")
	testenv.RunIn(t, w.nsA, "ip", "link", "set", w.devA, "name", "lc-renamed")
	testenv.RunIn(t, w.nsA, "ip", "link", "set", "lc-renamed", "up")
	if s := w.port.Follow(); s.Link != port.LinkUp || s.Attached != 1 {
		t.Errorf("%+v", s)
	}
}

func TestPortThatIsGivenAMasterSaysSo(t *testing.T) {
	w := newWire(t)
	testenv.RunIn(t, w.nsA, "ip", "link", "add", "name", "lc-br", "type", "bridge")
	testenv.RunIn(t, w.nsA, "ip", "link", "set", w.devA, "master", "lc-br")
	if s := w.port.Follow(); s.Fault == nil || !strings.Contains(s.Fault.Error(), "nomaster") {
		t.Errorf("%+v", s)
	}
}

func TestDirectionsShareAQueueAfterALinkWentDownAndCameBack(t *testing.T) {
	testenv.NeedRoot(t)
	middle, client, server := testenv.NewNetNS(t), testenv.NewNetNS(t), testenv.NewNetNS(t)
	devC, devI := testenv.Veth(t, client, middle)
	devS, devO := testenv.Veth(t, server, middle)
	cfg := config(t, 3, 256)
	inside, outside := openIn(t, middle, devI, cfg), openIn(t, middle, devO, cfg)
	far := config(t, 1, 256)
	hostC, hostS := openIn(t, client, devC, far), openIn(t, server, devS, far)
	// queueOf sends a frame and returns the queue that it arrives on.
	queueOf := func(from, to *Port, frame []byte) int {
		t.Helper()
		send(t, from, far.Caches[0], frame)
		var ms [port.Burst]*mbuf.Mbuf
		for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
			for i := range to.Queues() {
				for _, m := range ms[:to.Queue(i).RxBurst(ms[:])] {
					same := string(m.Data()) == string(frame)
					cfg.Caches[i].Free(m)
					if same {
						return i
					}
				}
			}
		}
		t.Fatalf("frame %x did not arrive; %+v", frame, to.Queue(0).Stats())
		return -1
	}
	agree := func(when string) {
		t.Helper()
		seen := map[int]bool{}
		for n := range uint16(24) {
			there, back := tcpFrame(1, 2, 4000+n, 80), tcpFrame(2, 1, 80, 4000+n)
			for name, pair := range map[string][2][]byte{
				"IPv4": {there, back}, "VLAN": {tagged(there, 7), tagged(back, 7)}, "IPv6": {tcp6Frame(1, 2, 4000+n, 80), tcp6Frame(2, 1, 80, 4000+n)},
			} {
				a, b := queueOf(hostC, inside, pair[0]), queueOf(hostS, outside, pair[1])
				if a != b {
					t.Errorf("%s, %s, connection %d: queues %d and %d", when, name, n, a, b)
				}
				seen[a] = true
			}
		}
		if len(seen) != 3 {
			t.Errorf("%s: only queues %v are used", when, seen)
		}
	}
	agree("at first")
	testenv.RunIn(t, middle, "ip", "link", "set", devO, "down")
	testenv.RunIn(t, middle, "ip", "link", "set", devO, "up")
	followed(t, middle, outside, isUp)
	followed(t, server, hostS, isUp)
	agree("after a link went down and came back")
	testenv.RunIn(t, middle, "ip", "link", "del", devO)
	testenv.RunIn(t, middle, "ip", "link", "add", devO, "type", "veth", "peer", "name", devS, "netns", server)
	testenv.RunIn(t, middle, "ip", "link", "set", devO, "up")
	testenv.RunIn(t, server, "ip", "link", "set", devS, "up")
	followed(t, middle, outside, isUp)
	followed(t, server, hostS, isUp)
	agree("after an interface was made anew")
}

func pollReadable(fd, ms int) int {
	n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, ms)
	return n
}

func tagged(f []byte, vlan byte) []byte {
	return append(append(bytes.Clone(f[:12]), 0x81, 0, 0, vlan), f[12:]...)
}

func tcp6Frame(src, dst byte, sport, dport uint16) []byte {
	f := testFrame(74, 0)
	f[12], f[13] = 0x86, 0xdd
	ip := f[14:]
	clear(ip)
	copy(ip, []byte{0x60, 0, 0, 0, 0, 20, 6, 64})
	ip[8], ip[23], ip[24], ip[39] = 0xfd, src, 0xfd, dst
	binary.BigEndian.PutUint16(ip[40:], sport)
	binary.BigEndian.PutUint16(ip[42:], dport)
	ip[52] = 5 << 4
	return f
}
