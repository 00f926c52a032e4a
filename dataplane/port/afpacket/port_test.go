package afpacket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

func config(t testing.TB, queues, buffers int) port.Config {
	t.Helper()
	cfg := port.Config{Queues: queues, OpenTimeout: 2 * time.Second}
	for range queues {
		a, err := mbuf.NewArena(buffers, mbuf.DefaultDataRoom)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = a.Close() })
		cfg.Caches = append(cfg.Caches, mbuf.NewCache(a))
	}
	return cfg
}

func openIn(t testing.TB, ns, dev string, cfg port.Config) *Port {
	t.Helper()
	var p *Port
	var err error
	open := func() { p, err = Open(dev, cfg) }
	if ns == "" {
		open()
	} else {
		testenv.InNetNS(t, ns, open)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// wire is a veth pair between two namespaces with a packet port on end A.
type wire struct {
	nsA, nsB, devA, devB string
	port                 *Port
	cache                *mbuf.Cache
}

func newWire(t testing.TB) *wire {
	t.Helper()
	testenv.NeedRoot(t)
	w := &wire{nsA: testenv.NewNetNS(t), nsB: testenv.NewNetNS(t)}
	w.devA, w.devB = testenv.Veth(t, w.nsA, w.nsB)
	cfg := config(t, 1, 8192)
	w.port, w.cache = openIn(t, w.nsA, w.devA, cfg), cfg.Caches[0]
	return w
}

// receive polls until n packets that want accepts came or a second went by, and returns copies of them.
func receive(p *Port, c *mbuf.Cache, queue, n int, want func([]byte) bool) (frames [][]byte, flags []uint64) {
	var ms [port.Burst]*mbuf.Mbuf
	for end := time.Now().Add(time.Second); len(frames) < n && time.Now().Before(end); {
		k := p.Queue(queue).RxBurst(ms[:])
		for _, m := range ms[:k] {
			if want(m.Data()) {
				frames, flags = append(frames, bytes.Clone(m.Data())), append(flags, m.OlFlags)
			}
			c.Free(m)
		}
	}
	return frames, flags
}

func etherType(want uint16) func([]byte) bool {
	return func(b []byte) bool { return binary.BigEndian.Uint16(b[12:]) == want }
}

// testFrame is a frame of an EtherType for local experiments.
func testFrame(n int, fill byte) []byte {
	b := bytes.Repeat([]byte{fill}, n)
	copy(b, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x88\xb5")
	return b
}

func send(t testing.TB, p *Port, c *mbuf.Cache, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		m := c.Alloc()
		if m == nil || !m.Append(f) {
			t.Fatal("no buffer")
		}
		if p.Queue(0).TxBurst([]*mbuf.Mbuf{m}) != 1 {
			t.Fatal("not sent")
		}
	}
}

func TestFramesOfEverySizeCrossUnchangedInOrder(t *testing.T) {
	w := newWire(t)
	cfg := config(t, 1, 8192)
	far := openIn(t, w.nsB, w.devB, cfg)
	var sent [][]byte
	for n := 60; n <= 1514; n += 7 {
		sent = append(sent, testFrame(n, byte(n)))
	}
	send(t, far, cfg.Caches[0], sent...)
	got, _ := receive(w.port, w.cache, 0, len(sent), etherType(0x88b5))
	if len(got) != len(sent) {
		t.Fatalf("received %d of %d", len(got), len(sent))
	}
	for i := range sent {
		if !bytes.Equal(got[i], sent[i]) {
			t.Fatalf("frame %d differs", i)
		}
	}
	if n := w.cache.Avail(); n != 8192 {
		t.Errorf("%d buffers lost", 8192-n)
	}
	if n := cfg.Caches[0].Avail(); n != 8192 {
		t.Errorf("sender lost %d buffers", 8192-n)
	}
}

func TestSegmentedBufferIsSentAsOnePacket(t *testing.T) {
	w := newWire(t)
	cfg := config(t, 1, 64)
	far := openIn(t, w.nsB, w.devB, cfg)
	want := testFrame(200, 9)
	head, tail := cfg.Caches[0].Alloc(), cfg.Caches[0].Alloc()
	head.Append(want[:50])
	tail.Append(want[50:])
	head.Next, head.NbSegs, head.PktLen = unsafe.Pointer(tail), 2, 200
	if far.Queue(0).TxBurst([]*mbuf.Mbuf{head}) != 1 {
		t.Fatal("not sent")
	}
	got, _ := receive(w.port, w.cache, 0, 1, etherType(0x88b5))
	if len(got) != 1 || !bytes.Equal(got[0], want) {
		t.Errorf("got %x", got)
	}
	if n := cfg.Caches[0].Avail(); n != 64 {
		t.Errorf("%d buffers lost", 64-n)
	}
}

// address gives the far end addresses and a neighbour for 10.9.0.2 and fd09::2, which nobody answers for.
func (w *wire) address(t testing.TB, dev string) {
	for _, a := range []string{"10.9.0.1/24", "fd09::1/64"} {
		testenv.RunIn(t, w.nsB, "ip", "addr", "add", a, "dev", dev)
	}
	for _, a := range []string{"10.9.0.2", "fd09::2"} {
		testenv.RunIn(t, w.nsB, "ip", "neigh", "add", a, "lladdr", "02:00:00:00:00:09", "dev", dev)
	}
}

// dial sends payload from the far end's kernel; for TCP the connection attempt alone is what is sent.
func (w *wire) dial(t testing.TB, network, addr string, payload []byte) {
	testenv.InNetNS(t, w.nsB, func() {
		d := net.Dialer{Timeout: 50 * time.Millisecond}
		if strings.HasPrefix(network, "tcp") {
			w.connect(t, network, addr)
			return
		}
		c, err := d.Dial(network, addr)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if _, err := c.Write(payload); err != nil {
			t.Error(err)
		}
	})
}

// connect starts a TCP connection without waiting for it.
func (w *wire) connect(t testing.TB, network, addr string) {
	host, _, _ := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	family, to := unix.AF_INET, unix.Sockaddr(nil)
	if v4 := ip.To4(); v4 != nil {
		to = &unix.SockaddrInet4{Port: 80, Addr: [4]byte(v4)}
	} else {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: 80, Addr: [16]byte(ip)}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		t.Errorf("connect %s %s: %v", network, addr, err)
	}
}

// transportSum verifies the transport checksum of an IP packet: all ones is right.
func transportSum(ip []byte) uint16 {
	if ip[0]>>4 == 4 {
		hl := int(ip[0]&15) * 4
		n := int(binary.BigEndian.Uint16(ip[2:])) - hl
		pseudo := append(bytes.Clone(ip[12:20]), 0, ip[9], byte(n>>8), byte(n))
		return plainSum(append(pseudo, ip[hl:hl+n]...))
	}
	n := int(binary.BigEndian.Uint16(ip[4:]))
	pseudo := append(bytes.Clone(ip[8:40]), 0, 0, byte(n>>8), byte(n), 0, 0, 0, ip[6])
	return plainSum(append(pseudo, ip[40:40+n]...))
}

func TestUnfinishedChecksumIsCompleted(t *testing.T) {
	w := newWire(t)
	w.address(t, w.devB)
	for i, c := range []struct {
		network, addr string
		etherType     uint16
		proto         byte
	}{
		{"udp4", "10.9.0.2:9", 0x0800, 17},
		{"udp6", "[fd09::2]:9", 0x86dd, 17},
		{"tcp4", "10.9.0.2:80", 0x0800, 6},
		{"tcp6", "[fd09::2]:80", 0x86dd, 6},
	} {
		w.dial(t, c.network, c.addr, []byte("odd"))
		got, flags := receive(w.port, w.cache, 0, 1, func(b []byte) bool {
			return etherType(c.etherType)(b) && (c.etherType == 0x0800 && b[23] == c.proto || b[20] == c.proto)
		})
		if len(got) != 1 {
			t.Fatalf("%s: nothing received", c.network)
		}
		if sum := transportSum(got[0][14:]); sum != 0xffff {
			t.Errorf("%s: checksum is wrong: sum %#04x", c.network, sum)
		}
		if flags[0]&mbuf.RxL4CksumGood == 0 {
			t.Errorf("%s: flags %#x", c.network, flags[0])
		}
		if n := w.port.Queue(0).Stats().RxCsumComplete; n != uint64(i+1) {
			t.Errorf("%s: %d checksums counted as completed, want %d", c.network, n, i+1)
		}
	}
}

func TestChecksumBehindAnExtensionHeaderIsCompleted(t *testing.T) {
	w := newWire(t)
	w.address(t, w.devB)
	testenv.InNetNS(t, w.nsB, func() {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer unix.Close(fd)
		padded := "\x00\x00\x01\x04\x00\x00\x00\x00"
		if err := unix.SetsockoptString(fd, unix.IPPROTO_IPV6, unix.IPV6_DSTOPTS, padded); err != nil {
			t.Error(err)
		}
		to := &unix.SockaddrInet6{Port: 9, Addr: [16]byte(net.ParseIP("fd09::2"))}
		if err := unix.Sendto(fd, []byte("hello"), 0, to); err != nil {
			t.Error(err)
		}
	})
	got, _ := receive(w.port, w.cache, 0, 1, func(b []byte) bool { return etherType(0x86dd)(b) && b[20] == unix.IPPROTO_DSTOPTS })
	if len(got) != 1 {
		t.Fatal("nothing received")
	}
	ip := bytes.Clone(got[0][14:])
	plain := append(ip[:40:40], ip[48:]...)
	plain[6], plain[5] = ip[40], plain[5]-8
	if sum := transportSum(plain); plain[6] != 17 || sum != 0xffff {
		t.Errorf("protocol %d, sum %#04x", plain[6], sum)
	}
}

func TestStrippedVLANTagIsPutBack(t *testing.T) {
	w := newWire(t)
	cfg := config(t, 1, 64)
	far := openIn(t, w.nsB, w.devB, cfg)
	// The kernel takes the outer tag of every received frame out before packet sockets see it.
	for _, tag := range []string{"\x81\x00\x60\x05", "\x88\xa8\x00\x07\x81\x00\x00\x05"} {
		plain := testFrame(1500, 7)
		want := append([]byte(string(plain[:12])+tag), plain[12:]...)
		send(t, far, cfg.Caches[0], want)
		got, _ := receive(w.port, w.cache, 0, 1, func(b []byte) bool { return bytes.Equal(b[6:12], plain[6:12]) })
		if len(got) != 1 || !bytes.Equal(got[0], want) {
			t.Errorf("tag %x: received %d frames: %x", tag, len(got), got)
		}
	}
}

func TestSuperPacketOfUDPBecomesTheDatagramsThatWereSent(t *testing.T) {
	w := newWire(t)
	w.address(t, w.devB)
	// The kernel keeps the first beside the ring, the second fits a slot.
	for _, size := range []int{20000, 900} {
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = byte(i / 7)
		}
		testenv.InNetNS(t, w.nsB, func() {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Error(err)
				return
			}
			defer unix.Close(fd)
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 400); err != nil {
				t.Error(err)
			}
			to := &unix.SockaddrInet4{Port: 9, Addr: [4]byte{10, 9, 0, 2}}
			if err := unix.Sendto(fd, payload, 0, to); err != nil {
				t.Error(err)
			}
		})
		w.dial(t, "udp4", "10.9.0.2:9", []byte("after"))
		want := (size+399)/400 + 1
		got, _ := receive(w.port, w.cache, 0, want, etherType(0x0800))
		if len(got) != want || !bytes.HasSuffix(got[want-1], []byte("after")) {
			t.Fatalf("%d bytes: received %d datagrams, not %d", size, len(got), want)
		}
		var all []byte
		for _, f := range got[:want-1] {
			all = append(all, f[42:]...)
			if n := int(binary.BigEndian.Uint16(f[38:])); n != len(f)-34 || onesSum(f[14:34]) != 0xffff {
				t.Errorf("%d bytes: a datagram says that it has %d bytes of %d", size, n, len(f)-34)
			}
		}
		if !bytes.Equal(all, payload) {
			t.Errorf("%d bytes: other bytes arrived", size)
		}
	}
	if s := w.port.Queue(0).Stats(); s.RxSuperPacket != 0 || s.RxTruncated != 0 {
		t.Errorf("%+v", s)
	}
	if n := w.cache.Avail(); n != 8192 {
		t.Errorf("%d buffers lost", 8192-n)
	}
}

func TestFloodIsCountedAsMissedNotLostInSilence(t *testing.T) {
	w := newWire(t)
	cfg := config(t, 1, 64)
	far := openIn(t, w.nsB, w.devB, cfg)
	const total = ringFrames + 500
	for range total {
		send(t, far, cfg.Caches[0], testFrame(60, 1))
	}
	got, _ := receive(w.port, w.cache, 0, ringFrames, etherType(0x88b5))
	send(t, far, cfg.Caches[0], testFrame(60, 1))
	more, _ := receive(w.port, w.cache, 0, 1, etherType(0x88b5))
	missed := w.port.Queue(0).Stats().RxMissed
	if uint64(len(got)+len(more))+missed < total+1 || missed == 0 {
		t.Errorf("of %d packets %d came and %d are counted as missed", total+1, len(got)+len(more), missed)
	}
}

func TestPacketTooLongForTheInterfaceIsTakenAndCounted(t *testing.T) {
	w := newWire(t)
	send(t, w.port, w.cache, testFrame(1600, 1), testFrame(60, 1))
	if n := w.port.Queue(0).Stats().TxErrors; n != 1 {
		t.Errorf("%d errors", n)
	}
	if n := w.cache.Avail(); n != 8192 {
		t.Errorf("%d buffers lost", 8192-n)
	}
}

func TestDirectionsOfAConnectionShareAQueueAndNothingIsDoubled(t *testing.T) {
	testenv.NeedRoot(t)
	nsA, nsB := testenv.NewNetNS(t), testenv.NewNetNS(t)
	devA, devB := testenv.Veth(t, nsA, nsB)
	near, far := config(t, 2, 1024), config(t, 1, 1024)
	p, q := openIn(t, nsA, devA, near), openIn(t, nsB, devB, far)
	const flows = 64
	for i := range flows {
		send(t, q, far.Caches[0], tcpFrame(1, 2, uint16(1000+i), 80), tcpFrame(2, 1, 80, uint16(1000+i)))
	}
	var perQueue [2]int
	queueOf := map[uint16]int{}
	var ms [port.Burst]*mbuf.Mbuf
	for end, quiet := time.Now().Add(time.Second), 0; quiet < 1000 && time.Now().Before(end); quiet++ {
		for i := range 2 {
			n := p.Queue(i).RxBurst(ms[:])
			if perQueue[i] += n; n > 0 || perQueue[0]+perQueue[1] < 2*flows {
				quiet = 0
			}
			for _, m := range ms[:n] {
				f := m.Data()
				flow := max(binary.BigEndian.Uint16(f[34:]), binary.BigEndian.Uint16(f[36:]))
				if before, seen := queueOf[flow]; seen && before != i {
					t.Errorf("flow %d came on both queues", flow)
				}
				queueOf[flow] = i
				near.Caches[i].Free(m)
			}
		}
	}
	if perQueue[0]+perQueue[1] != 2*flows || perQueue[0] == 0 || perQueue[1] == 0 {
		t.Errorf("queues received %v of %d packets", perQueue, 2*flows)
	}
}

func TestPortWithSeveralQueuesDoesNotReceiveWhatItSends(t *testing.T) {
	testenv.NeedRoot(t)
	nsA, nsB := testenv.NewNetNS(t), testenv.NewNetNS(t)
	devA, _ := testenv.Veth(t, nsA, nsB)
	cfg := config(t, 2, 4096)
	p := openIn(t, nsA, devA, cfg)
	send(t, p, cfg.Caches[0], tcpFrame(1, 2, 1000, 80), tcpFrame(2, 1, 80, 1000))
	for i := range 2 {
		if got, _ := receive(p, cfg.Caches[i], i, 1, etherType(0x0800)); len(got) > 0 {
			t.Errorf("queue %d received what the port sent", i)
		}
	}
}

func tcpFrame(src, dst byte, sport, dport uint16) []byte {
	f := testFrame(60, 0)
	binary.BigEndian.PutUint16(f[12:], 0x0800)
	ip := f[14:]
	copy(ip, []byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, src, 10, 0, 0, dst})
	binary.BigEndian.PutUint16(ip[10:], ^plainSum(ip[:20]))
	binary.BigEndian.PutUint16(ip[20:], sport)
	binary.BigEndian.PutUint16(ip[22:], dport)
	ip[32] = 5 << 4
	return f
}

func TestInterfaceThatGoesAwayNeitherPanicsNorSpins(t *testing.T) {
	w := newWire(t)
	if s := w.port.Follow(); s.Link != port.LinkUp || s.MTU != 1500 || s.Fault != nil {
		t.Errorf("before: %+v", s)
	}
	testenv.RunIn(t, w.nsA, "ip", "link", "del", w.devA)
	var ms [1]*mbuf.Mbuf
	for range 2 * errorCheck {
		if n := w.port.Queue(0).RxBurst(ms[:]); n == 1 {
			w.cache.Free(ms[0])
		}
	}
	if s := w.port.Follow(); s.Link != port.LinkGone || s.Fault != nil {
		t.Errorf("a removed interface: %+v", s)
	}
	fds := []unix.PollFd{{Fd: int32(w.port.Queue(0).(port.Waiter).Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 10); n != 0 {
		t.Errorf("descriptor still polls ready: %v, events %#x", err, fds[0].Revents)
	}
	send(t, w.port, w.cache, testFrame(60, 1))
	if n := w.port.Queue(0).Stats().TxErrors; n != 1 {
		t.Errorf("%d errors counted", n)
	}
	if n := w.cache.Avail(); n != 8192 {
		t.Errorf("%d buffers lost", 8192-n)
	}
}

func TestInterfaceThatComesBackUpCarriesAgain(t *testing.T) {
	w := newWire(t)
	cfg := config(t, 1, 64)
	far := openIn(t, w.nsB, w.devB, cfg)
	testenv.RunIn(t, w.nsA, "ip", "link", "set", w.devA, "down")
	if a, b := w.port.Follow(), far.Follow(); a.Link != port.LinkDown || b.Link != port.LinkDown {
		t.Errorf("down: %+v, its far end: %+v", a, b)
	}
	testenv.RunIn(t, w.nsA, "ip", "link", "set", w.devA, "up")
	for end := time.Now().Add(10 * time.Second); far.Follow().Link != port.LinkUp || w.port.Follow().Link != port.LinkUp; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the link does not come up") // the kernel tells the far end a little later
		}
	}
	send(t, far, cfg.Caches[0], testFrame(60, 1))
	if got, _ := receive(w.port, w.cache, 0, 1, etherType(0x88b5)); len(got) != 1 {
		t.Error("nothing received")
	}
}

func TestDescriptorPollsReadableWhenAPacketWaits(t *testing.T) {
	w := newWire(t)
	cfg := config(t, 1, 64)
	far := openIn(t, w.nsB, w.devB, cfg)
	fds := []unix.PollFd{{Fd: int32(w.port.Queue(0).(port.Waiter).Fd()), Events: unix.POLLIN}}
	if n, _ := unix.Poll(fds, 0); n != 0 {
		t.Error("readable though nothing came")
	}
	send(t, far, cfg.Caches[0], testFrame(60, 1))
	if n, _ := unix.Poll(fds, 1000); n != 1 || fds[0].Revents != unix.POLLIN {
		t.Errorf("events %#x", fds[0].Revents)
	}
	receive(w.port, w.cache, 0, 1, etherType(0x88b5))
	if n, _ := unix.Poll(fds, 0); n != 0 {
		t.Error("readable after everything was taken")
	}
}

func TestOpenSaysWhyItCannot(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	dev, _ := testenv.Veth(t, ns, ns)
	testenv.RunIn(t, ns, "ip", "link", "set", dev, "down")
	jumbo, _ := testenv.Veth(t, ns, ns)
	testenv.RunIn(t, ns, "ip", "link", "set", jumbo, "mtu", "9000")
	cfg := config(t, 1, 64)
	cfg.OpenTimeout = 0
	for _, c := range []struct{ dev, want string }{
		{dev, "ip link set dev " + dev + " up"},
		{"lc-missing", "no such interface"},
		{"a-name-longer-than-allowed", "no such interface"},
		{"", "no such interface"},
		{"lo", "not an Ethernet interface"},
		{jumbo, fmt.Sprintf("ip link set dev %s mtu %d", jumbo, mbuf.DefaultDataRoom-LinkOverhead)},
	} {
		testenv.InNetNS(t, ns, func() {
			_, err := Open(c.dev, cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "interface "+c.dev) {
				t.Errorf("%q: %v", c.dev, err)
			}
		})
	}
}

func TestOpenWithoutPrivilegeNamesTheCapability(t *testing.T) {
	testenv.NeedRoot(t)
	dev, _ := testenv.Veth(t, "", "")
	cfg := config(t, 1, 64)
	failed := make(chan error, 1)
	go func() {
		// The thread keeps its reduced privileges to its end, which is the goroutine's because it stays locked.
		runtime.LockOSThread()
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&hdr, &none[0]); err != nil {
			failed <- err
			return
		}
		_, err := Open(dev, cfg)
		failed <- err
	}()
	if err := <-failed; !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_NET_RAW") {
		t.Errorf("error %v", err)
	}
}

func TestBurstsAllocateNothing(t *testing.T) {
	w := newWire(t)
	cfg := config(t, 1, 256)
	far := openIn(t, w.nsB, w.devB, cfg)
	frame := testFrame(1514, 3)
	var ms [port.Burst]*mbuf.Mbuf
	received := 0
	allocs := testing.AllocsPerRun(50, func() {
		cfg.Caches[0].AllocBurst(ms[:])
		for _, m := range ms {
			m.Append(frame)
		}
		far.Queue(0).TxBurst(ms[:])
		n := w.port.Queue(0).RxBurst(ms[:])
		w.cache.FreeBurst(ms[:n])
		received += n
		w.port.Queue(0).Stats()
	})
	if allocs != 0 || received == 0 {
		t.Errorf("%v allocations in a round, %d packets received", allocs, received)
	}
}

func BenchmarkVeth(b *testing.B) {
	for _, size := range []int{60, 1514} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := newWire(b)
			cfg := config(b, 1, 1024)
			far := openIn(b, w.nsB, w.devB, cfg)
			frame := testFrame(size, 3)
			var ms [port.Burst]*mbuf.Mbuf
			received := 0
			b.SetBytes(int64(size * port.Burst))
			b.ReportAllocs()
			for b.Loop() {
				cfg.Caches[0].AllocBurst(ms[:])
				for _, m := range ms {
					m.Append(frame)
				}
				far.Queue(0).TxBurst(ms[:])
				n := w.port.Queue(0).RxBurst(ms[:])
				w.cache.FreeBurst(ms[:n])
				received += n
			}
			b.ReportMetric(float64(received)/b.Elapsed().Seconds(), "packets/s")
		})
	}
}
