package afxdp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/netif"
	"linecrypt/dataplane/port/porttest"
)

// sizes are those of frames around what fits one chunk, two and three, and an MTU of 9000 with two tags.
var sizes = []int{14, 15, 60, 64, 1514, 2048, 3456, 3839, 3840, 3841, 4096, 4097, 7680, 7681, 8192, 8193, 9000, 9014}

func TestFramesOfAnySizePassBothWays(t *testing.T) {
	porttest.InNamespace(t)
	for _, mode := range []string{"in the driver", "in the kernel behind it"} {
		t.Run(mode, func(t *testing.T) {
			porttest.InNamespace(t)
			if mode == "in the driver" {
				veth(t, 1, 9000)
			} else {
				genericVeth(t, 9000)
			}
			c := buffers(t, mbuf.JumboDataRoom)
			p := openJumbo(t, c)
			if p.MTU() != 9000 || p.Kind() != "xdp" {
				t.Errorf("%s with an MTU of %d", p.Kind(), p.MTU())
			}
			carries(t, p, c, porttest.NewHost(t, "lc-h"), sizes...)
			if s := p.Queue(0).Stats(); s != (port.Stats{}) {
				t.Errorf("%+v", s)
			}
			if _, generic := attachedXDP(t); generic != (mode != "in the driver") {
				t.Errorf("the program is attached elsewhere: generic %v", generic)
			}
			c.Flush()
			if free := c.Pool().Avail(); free != c.Pool().Size() {
				t.Errorf("%d buffers of %d are free", free, c.Pool().Size())
			}
		})
	}
}

// attachedXDP says whether a program is attached to lc-p, and whether in the kernel behind the driver.
func attachedXDP(t *testing.T) (attached, generic bool) {
	t.Helper()
	out, err := exec.Command("ip", "link", "show", "dev", "lc-p").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(out), "prog/xdp"), strings.Contains(string(out), "xdpgeneric")
}

func TestBurstsBeyondTheRingsArriveInOrder(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1, 9000)
	c := buffers(t, mbuf.JumboDataRoom)
	p, h := openJumbo(t, c), porttest.NewHost(t, "lc-h")
	q := p.Queue(0)
	const total = 6000 // chunks go round several times
	size := func(i int) int { return 64 + i*97%8900 }
	var next int
	ms := make([]*mbuf.Mbuf, port.Burst)
	for i := 0; i < total; {
		n := 0
		for ; n < 8 && i+n < total; n++ {
			ms[n] = porttest.Alloc(t, c, numbered(size(i+n), i+n))
		}
		for sent := 0; sent < n; {
			sent += q.TxBurst(ms[sent:n])
		}
		for range n {
			if b := h.Receive(); len(b) != size(i) || number(b) != i {
				t.Fatalf("frame %d came out as %d of %d bytes", i, number(b), len(b))
			}
			i++
		}
	}
	for i := 0; i < total; {
		for n := 0; n < 8 && i+n < total; n++ {
			h.Send(numbered(size(i+n), i+n))
		}
		for k := 0; k < 8 && i < total; k++ {
			m := porttest.Poll(q, c)
			if m == nil || int(m.DataLen) != size(i) || number(m.Data()) != next {
				t.Fatalf("frame %d did not come in", i)
			}
			c.Free(m)
			next++
			i++
		}
	}
	if s := q.Stats(); s != (port.Stats{}) {
		t.Errorf("%+v", s)
	}
}

func numbered(n, i int) []byte {
	b := porttest.Frame(n, byte(i))
	binary.BigEndian.PutUint32(b[14:], uint32(i))
	return b
}

func number(b []byte) int {
	if len(b) < 18 {
		return -1
	}
	return int(binary.BigEndian.Uint32(b[14:]))
}

func TestAllReceiveQueuesAreServed(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 4, 1500)
	c := buffers(t, mbuf.DefaultDataRoom)
	p := openJumbo(t, c)
	if got := len(p.at.sockets); got != 4 {
		t.Fatalf("%d sockets", got)
	}
	h := porttest.NewHost(t, "lc-h")
	used := map[int]bool{}
	for flow := range 64 {
		h.Send(udp(flow))
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
			var ms [1]*mbuf.Mbuf
			before := make([]uint32, 4)
			for i, s := range p.at.sockets {
				before[i] = s.rx.mine
			}
			n := p.Queue(0).RxBurst(ms[:])
			c.FreeBurst(ms[:n])
			if n == 0 {
				continue
			}
			for i, s := range p.at.sockets {
				used[i] = used[i] || s.rx.mine != before[i]
			}
			break
		}
	}
	for i := range 4 {
		if !used[i] {
			t.Errorf("64 flows came by queues %v", used)
		}
	}
}

// udp makes a packet of a flow, with its checksums.
func udp(flow int) []byte {
	b := porttest.Frame(60, 0)
	binary.BigEndian.PutUint16(b[12:], 0x0800)
	ip := b[14:]
	copy(ip, []byte{0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2})
	binary.BigEndian.PutUint16(ip[20:], uint16(1000+flow))
	binary.BigEndian.PutUint16(ip[22:], 7)
	binary.BigEndian.PutUint16(ip[24:], 26)
	binary.BigEndian.PutUint16(ip[26:], 0)
	return b
}

func TestWaitingEndsWhenAPacketComes(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 2, 1500)
	c := buffers(t, mbuf.DefaultDataRoom)
	p, h := openJumbo(t, c), porttest.NewHost(t, "lc-h")
	var ms [port.Burst]*mbuf.Mbuf
	for p.Queue(0).RxBurst(ms[:]) > 0 {
	}
	time.AfterFunc(50*time.Millisecond, func() { h.Send(porttest.Frame(100, 1)) })
	fds := []unix.PollFd{{Fd: int32(port.Fds(p.Queue(0))[0]), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 5000); n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	if m := porttest.Poll(p.Queue(0), c); m == nil {
		t.Error("nothing was there")
	}
}

func TestPacketsThatDoNotFitAreCountedByName(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1, 9000)
	c := buffers(t, mbuf.JumboDataRoom)
	p, h := openJumbo(t, c), porttest.NewHost(t, "lc-h")
	command(t, "ip link set lc-p mtu 4000")
	if s := p.Follow(); s.MTU != 4000 || s.Fault != nil {
		t.Errorf("%+v", s)
	}
	q := p.Queue(0)
	if q.TxBurst([]*mbuf.Mbuf{porttest.Alloc(t, c, porttest.Frame(4000+LinkOverhead+1, 1)), porttest.Alloc(t, c, porttest.Frame(13+1, 1)[:13])}) != 2 {
		t.Error("not taken")
	}
	command(t, "ip link set lc-p mtu 9000") // or the kernel itself drops what follows
	h.Send(porttest.Frame(8000, 1))
	if got := countedDrops(q, c, func(s port.Stats) bool { return s.RxSuperPacket == 1 && s.TxErrors == 2 }); got.RxSuperPacket != 1 || got.TxErrors != 2 {
		t.Errorf("%+v", got)
	}
	carries(t, p, c, h, 100)
	var held []*mbuf.Mbuf
	for m := c.Alloc(); m != nil; m = c.Alloc() {
		held = append(held, m)
	}
	h.Send(porttest.Frame(3000, 1))
	if got := countedDrops(q, c, func(s port.Stats) bool { return s.RxNoMbuf > 0 }); got.RxNoMbuf == 0 {
		t.Errorf("%+v", got)
	}
	c.FreeBurst(held)
	carries(t, p, c, h, 100)
}

// countedDrops polls until the queue has counted what is wanted, and returns what it counted.
func countedDrops(q port.Queue, c *mbuf.Cache, want func(port.Stats) bool) (s port.Stats) {
	var ms [port.Burst]*mbuf.Mbuf
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		c.FreeBurst(ms[:q.RxBurst(ms[:])])
		if s = q.Stats(); want(s) {
			break
		}
	}
	return s
}

// TestSuperPacketsAreCounted is about those that the kernel hands over behind the driver; with a program in the driver it makes none on a
// veth pair.
func TestSuperPacketsAreCounted(t *testing.T) {
	for name, room := range map[string]int{"a frame in one chunk": mbuf.DefaultDataRoom, "a frame in several": mbuf.JumboDataRoom} {
		t.Run(name, func(t *testing.T) {
			porttest.InNamespace(t)
			genericVeth(t, 1500)
			c := buffers(t, room)
			p := openJumbo(t, c)
			command(t, "ip addr add 10.0.0.1/24 dev lc-h")
			command(t, "ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:09 dev lc-h")
			fd := udpSocket(t)
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 1000); err != nil {
				t.Fatal(err)
			}
			sendUDP(t, fd, 20000)
			if got := countedDrops(p.Queue(0), c, func(s port.Stats) bool { return s.RxSuperPacket == 1 }); got.RxSuperPacket != 1 || got.RxMissed != 0 {
				t.Errorf("%+v", got)
			}
			carries(t, p, c, porttest.NewHost(t, "lc-h"), 64, 1514)
		})
	}
}

// genericVeth is a veth pair that takes no program in its driver, because one end sends by more queues than the other receives by.
func genericVeth(t *testing.T, mtu int) {
	t.Helper()
	veth(t, 2, mtu)
	command(t, "ethtool -L lc-p rx 1")
}

func udpSocket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func sendUDP(t *testing.T, fd, n int) {
	t.Helper()
	if err := unix.Sendto(fd, make([]byte, n), 0, &unix.SockaddrInet4{Port: 7, Addr: [4]byte{10, 0, 0, 2}}); err != nil {
		t.Fatal(err)
	}
}

func TestUnfinishedChecksumsAreNoticed(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1, 1500)
	c := buffers(t, mbuf.DefaultDataRoom)
	p := openJumbo(t, c)
	command(t, "ip addr add 10.0.0.1/24 dev lc-h")
	command(t, "ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:09 dev lc-h")
	sendUDP(t, udpSocket(t), 100)
	if got := countedDrops(p.Queue(0), c, func(s port.Stats) bool { return s.RxCsumUnfinished == 1 }); got.RxCsumUnfinished != 1 {
		t.Errorf("%+v", got)
	}
}

func TestInterfaceOfAnotherIsRefusedUnchanged(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1, 1500)
	c := buffers(t, mbuf.DefaultDataRoom)
	cfg := port.Config{Queues: 1, Caches: []*mbuf.Cache{c}}
	first := openJumbo(t, buffers(t, mbuf.DefaultDataRoom))
	if _, err := Open("lc-p", cfg); err == nil || !strings.Contains(err.Error(), programName) || !errors.Is(err, errBusy) {
		t.Errorf("a second port: %v", err)
	}
	carries(t, first, first.queue.cache, porttest.NewHost(t, "lc-h"), 100)
	held := errors.New("held by another")
	cfg.Claim = func(string, int) error { return held }
	if _, err := Open("lc-p", cfg); !errors.Is(err, held) {
		t.Errorf("an interface that is not to be claimed: %v", err)
	}
	cfg.Claim, cfg.Queues, cfg.Caches = nil, 2, []*mbuf.Cache{c, c}
	if _, err := Open("lc-p", cfg); !errors.Is(err, port.ErrFewQueues) {
		t.Errorf("two queues: %v", err)
	}
}

func TestInterfaceThatCannotBeServedIsRefusedWithWhatHelps(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 17, 9000)
	jumbo, small := buffers(t, mbuf.JumboDataRoom), buffers(t, mbuf.DefaultDataRoom)
	for _, c := range []struct {
		name, before string
		cache        *mbuf.Cache
		pieces       bool
		says         []string
	}{
		{"more queues than sockets", "true", jumbo, true, []string{"17 receive queues", "16 at most", "ethtool -L lc-p"}},
		{"an old kernel", "true", jumbo, false, []string{"MTU of 9000", "Linux 6.6", "ip link set dev lc-p mtu 3434", "packet:lc-p"}},
		{"small buffers", "true", small, true, []string{"MTU of 9000", "buffers of 2048", "mtu 2026"}},
		{"down", "ip link set lc-p down", jumbo, true, []string{"down", "ip link set dev lc-p up"}},
	} {
		command(t, "%s", c.before)
		_, err := openWith("lc-p", port.Config{Queues: 1, Caches: []*mbuf.Cache{c.cache}}, c.pieces)
		for _, s := range c.says {
			if err == nil || !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v, want %q", c.name, err, s)
			}
		}
	}
	if _, err := Open("lc-none", port.Config{Queues: 1, Caches: []*mbuf.Cache{jumbo}}); !errors.Is(err, netif.ErrNone) {
		t.Errorf("no interface: %v", err)
	}
	if attached, _ := attachedXDP(t); attached {
		t.Error("a program is attached")
	}
}

func TestKernelWithoutFramesOfSeveralPiecesIsServedWithinAPage(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1, singleMTU())
	c := buffers(t, mbuf.JumboDataRoom)
	p, err := openWith("lc-p", port.Config{Queues: 1, Caches: []*mbuf.Cache{c}}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	carries(t, p, c, porttest.NewHost(t, "lc-h"), 14, 1514, singleMTU()+ethHeader)
	if p.MTU() != singleMTU() {
		t.Errorf("MTU %d", p.MTU())
	}
}

func TestOpenWithoutRightsNamesThem(t *testing.T) {
	dev, _ := testenv.Veth(t, "", "")
	testenv.WithCapabilities(t, 1<<unix.CAP_NET_RAW, func() {
		_, err := Open(dev, port.Config{Queues: 1, Caches: []*mbuf.Cache{buffers(t, mbuf.DefaultDataRoom)}})
		if err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN and CAP_BPF") {
			t.Errorf("got %v", err)
		}
	})
}

// holdPort is what TestKilledProcessLeavesNothingBehind runs in a process of its own.
const holdPort = "LINECRYPT_TEST_HOLD_PORT"

func TestMain(m *testing.M) {
	if os.Getenv(holdPort) == "" {
		os.Exit(m.Run())
	}
	a, err := mbuf.NewArena(64, mbuf.JumboDataRoom)
	if err == nil {
		_, err = Open("lc-p", port.Config{Queues: 1, Caches: []*mbuf.Cache{mbuf.NewCache(a)}})
	}
	fmt.Println("open:", err)
	time.Sleep(time.Minute)
}

func TestKilledProcessLeavesNothingBehind(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1, 9000)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holdPort+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []byte
	for buf := make([]byte, 256); !bytes.Contains(said, []byte("open: <nil>\n")); {
		n, err := out.Read(buf)
		if said = append(said, buf[:n]...); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	if attached, _ := attachedXDP(t); !attached {
		t.Error("no program is attached")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	c := buffers(t, mbuf.JumboDataRoom)
	p := openJumbo(t, c) // waits where the kernel still has to clean up
	carries(t, p, c, porttest.NewHost(t, "lc-h"), 9000)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if attached, _ := attachedXDP(t); attached {
		t.Error("a program is still attached")
	}
}
