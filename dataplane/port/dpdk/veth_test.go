//go:build dpdk && cgo

package dpdk

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/porttest"
)

func command(t testing.TB, line string) {
	t.Helper()
	f := strings.Fields(line)
	testenv.Run(t, f[0], f[1:]...)
}

// veth makes the pair lc-p (the port's end) and lc-h (the host's end), without offloads, up.
func veth(t testing.TB, queues int) {
	t.Helper()
	command(t, fmt.Sprintf("ip link add lc-p numrxqueues %d numtxqueues %d type veth peer name lc-h numrxqueues %d numtxqueues %d",
		queues, queues, queues, queues))
	for _, end := range []string{"lc-p", "lc-h"} {
		command(t, "ethtool -K "+end+" tx off rx off tso off gso off gro off txvlan off rxvlan off")
		command(t, "ip link set "+end+" up")
	}
}

// testFrames are frames of every size that matters, with and without a tag.
func testFrames() map[string][]byte {
	return framesOf(14, 15, 60, 64, 65, 590, 1400, 1513, 1514)
}

func framesOf(sizes ...int) map[string][]byte {
	frames := map[string][]byte{}
	for i, n := range sizes {
		frames[fmt.Sprint(n)] = porttest.Frame(n, byte(i))
		if n >= 60 {
			frames[fmt.Sprint("vlan", n)] = porttest.Tagged(porttest.Frame(n, byte(i)), 0x2064)
		}
	}
	return frames
}

// carriesFrames shows that frames pass both ways between a port and the host's end unchanged.
func carriesFrames(t *testing.T, p port.Port, c *mbuf.Cache, h porttest.Host) {
	t.Helper()
	carries(t, p, c, h, testFrames())
}

func carries(t *testing.T, p port.Port, c *mbuf.Cache, h porttest.Host, frames map[string][]byte) {
	t.Helper()
	q := p.Queue(0)
	for name, f := range frames {
		h.Send(f)
		m := porttest.Poll(q, c)
		if m == nil {
			t.Errorf("%s: nothing came in", name)
			continue
		}
		if !bytes.Equal(m.Data(), f) || m.RefCnt() != 1 || m.NbSegs != 1 || int(m.PktLen) != len(f) || m.HeadroomLen() < mbuf.Headroom-4 {
			t.Errorf("%s: came in as %x", name, m.Data())
		}
		if n := q.TxBurst([]*mbuf.Mbuf{m}); n != 1 {
			t.Errorf("%s: not taken", name)
			c.Free(m)
		}
		// net_tap and net_af_packet may pad; the kernel never cuts.
		if got := h.Receive(); !bytes.HasPrefix(got, f) {
			t.Errorf("%s: went out as %x", name, got)
		}
	}
}

func TestKernelDriversCarryFramesOfEverySize(t *testing.T) {
	for _, driver := range []string{"net_af_packet", "net_af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			porttest.InNamespace(t)
			veth(t, 1)
			p, c := open(t, vdev(driver, ",iface=lc-p"))
			if s := p.Follow(); s.Link != port.LinkUp || p.MTU() != 1500 {
				t.Errorf("link %v, MTU %d", s.Link, p.MTU())
			}
			carriesFrames(t, p, c, porttest.NewHost(t, "lc-h"))
			if s := p.Queue(0).Stats(); s != (port.Stats{}) {
				t.Errorf("stats %+v", s)
			}
			command(t, "ip link set lc-h down")
			if p.Follow().Link == port.LinkUp {
				t.Error("link up with its other end down")
			}
		})
	}
}

func TestTapCarriesFramesOfEverySize(t *testing.T) {
	porttest.InNamespace(t)
	p, c := open(t, vdev("net_tap", ",iface=lc-tap"))
	command(t, "ip link set lc-tap up")
	carriesFrames(t, p, c, porttest.NewHost(t, "lc-tap"))
}

func TestOpenRefusesAnInterfaceThatIsDown(t *testing.T) {
	porttest.InNamespace(t)
	command(t, "ip link add lc-p type veth peer name lc-h")
	_, err := Open(vdev("net_af_xdp", ",iface=lc-p"), port.Config{Queues: 1, Caches: []*mbuf.Cache{mbuf.NewCache(testPool)}})
	if err == nil || !strings.Contains(err.Error(), "interface lc-p is down") {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefusesAnMTUThatNoBufferHolds(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1)
	command(t, "ip link set lc-p mtu 3000")
	_, err := Open(vdev("net_af_xdp", ",iface=lc-p"), port.Config{Queues: 1, Caches: []*mbuf.Cache{mbuf.NewCache(testPool)}})
	if err == nil || !strings.Contains(err.Error(), "MTU of 3000") {
		t.Errorf("got %v", err)
	}
}

func TestSleepingQueueWakesWhenAPacketArrives(t *testing.T) {
	for _, driver := range []string{"net_af_packet", "net_af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			porttest.InNamespace(t)
			veth(t, 1)
			p, c := open(t, vdev(driver, ",iface=lc-p"))
			h := porttest.NewHost(t, "lc-h")
			w, ok := p.Queue(0).(port.Waiter)
			if !ok {
				t.Fatal("queue cannot be waited for")
			}
			fds := []unix.PollFd{{Fd: int32(w.Fd()), Events: unix.POLLIN}}
			for drained := false; !drained; {
				if m := poll1(p.Queue(0)); m != nil {
					c.Free(m)
				} else if n, _ := unix.Poll(fds, 100); n == 0 {
					drained = true
				}
			}
			h.Send(porttest.Frame(100, 1))
			if n, err := unix.Poll(fds, 2000); n != 1 || err != nil {
				t.Fatalf("poll: %d, %v", n, err)
			}
			m := porttest.Poll(p.Queue(0), c)
			if m == nil {
				t.Fatal("woken for nothing")
			}
			c.Free(m)
		})
	}
}

func poll1(q port.Queue) *mbuf.Mbuf {
	var ms [1]*mbuf.Mbuf
	q.RxBurst(ms[:])
	return ms[0]
}

// What the retransmission queue relies on: a frame it keeps is sent as often as it likes and comes back unchanged, and the
// driver's references end also when nothing further is sent.
func TestSentFrameThatIsKeptStaysIntact(t *testing.T) {
	for _, driver := range []string{"net_af_packet", "net_af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			porttest.InNamespace(t)
			veth(t, 1)
			p, c := open(t, vdev(driver, ",iface=lc-p"))
			q, h := p.Queue(0), porttest.NewHost(t, "lc-h")
			before := testPool.count() + c.Avail() - testPool.Avail()
			ms := make([]*mbuf.Mbuf, 64)
			for i := range ms {
				ms[i] = porttest.Alloc(t, c, porttest.Frame(1000, byte(i)))
				ms[i].Retain()
				ms[i].Retain()
			}
			for range 2 {
				if n := q.TxBurst(ms); n != len(ms) {
					t.Fatalf("%d taken", n)
				}
				for i := range ms {
					if !bytes.Equal(h.Receive(), porttest.Frame(1000, byte(i))) {
						t.Fatalf("frame %d went out changed", i)
					}
				}
			}
			for range 4 * 1024 {
				if m := poll1(q); m != nil {
					c.Free(m)
				}
			}
			for i, m := range ms {
				if m.RefCnt() != 1 || !bytes.Equal(m.Data(), porttest.Frame(1000, byte(i))) {
					t.Fatalf("frame %d: %d references", i, m.RefCnt())
				}
			}
			c.FreeBurst(ms)
			if after := testPool.count() + c.Avail() - testPool.Avail(); after != before {
				t.Errorf("%d buffers are free, before %d", after, before)
			}
		})
	}
}

func TestXDPPortsForwardWithoutLeak(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1)
	a, ca := open(t, vdev("net_af_xdp", ",iface=lc-p"))
	b, cb := open(t, vdev("net_af_xdp", ",iface=lc-h"))
	before := testPool.count()
	ms, sent, got := make([]*mbuf.Mbuf, port.Burst), 0, 0
	for end := time.Now().Add(5 * time.Second); got < 20000 && time.Now().Before(end); {
		if sent-got < 512 {
			for i := range ms {
				ms[i] = porttest.Alloc(t, ca, porttest.Frame(60+(sent+i)%1455, byte(sent+i)))
			}
			n := a.Queue(0).TxBurst(ms)
			ca.FreeBurst(ms[n:])
			sent += n
		}
		n := b.Queue(0).RxBurst(ms)
		for _, m := range ms[:n] {
			if porttest.IsFrame(m.Data()) {
				if !bytes.Equal(m.Data(), porttest.Frame(60+got%1455, byte(got))) {
					t.Fatalf("packet %d changed", got)
				}
				got++
			}
		}
		cb.FreeBurst(ms[:n])
	}
	if got < 20000 {
		t.Fatalf("%d of %d sent packets arrived", got, sent)
	}
	for range 4 * 1024 {
		for _, q := range []port.Queue{a.Queue(0), b.Queue(0)} {
			if m := poll1(q); m != nil {
				ca.Free(m)
			}
		}
	}
	ca.Flush()
	cb.Flush()
	if after := testPool.count(); after < before {
		t.Errorf("%d buffers are free, before %d", after, before)
	}
}

func TestXDPPortOpensAgain(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1)
	for i := range 2 {
		c := mbuf.NewCache(testPool)
		p, err := Open(vdev("net_af_xdp", ",iface=lc-p"), port.Config{Queues: 1, Caches: []*mbuf.Cache{c}})
		if err != nil {
			t.Fatalf("time %d: %v", i, err)
		}
		carriesFrames(t, p, c, porttest.NewHost(t, "lc-h"))
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		c.Flush()
	}
}

// childInterface is set in the process that TestPortOpensAfterItsProcessWasKilled kills.
const childInterface = "LINECRYPT_TEST_DPDK_INTERFACE"

func TestPortOpensAfterItsProcessWasKilled(t *testing.T) {
	if device := os.Getenv(childInterface); device != "" {
		open(t, device)
		fmt.Println("open")
		select {}
	}
	for _, driver := range []string{"net_af_packet", "net_af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			porttest.InNamespace(t)
			veth(t, 1)
			device := vdev(driver, ",iface=lc-p")
			child := exec.Command(os.Args[0], "-test.run=^TestPortOpensAfterItsProcessWasKilled$")
			child.Env = append(os.Environ(), childInterface+"="+device)
			child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			_ = child.Process.Kill()
			_ = child.Wait()
			if line != "open\n" {
				t.Fatalf("child said %q, %v", line, err)
			}
			p, c := open(t, device)
			carriesFrames(t, p, c, porttest.NewHost(t, "lc-h"))
		})
	}
}

// BenchmarkXDP moves bursts of 32 over a pair of interfaces with an AF_XDP port on either end.
func BenchmarkXDP(b *testing.B) {
	porttest.InNamespace(b)
	veth(b, 1)
	from, cf := open(b, vdev("net_af_xdp", ",iface=lc-p"))
	to, ct := open(b, vdev("net_af_xdp", ",iface=lc-h"))
	ms := make([]*mbuf.Mbuf, port.Burst)
	b.Run("empty", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ct.FreeBurst(ms[:to.Queue(0).RxBurst(ms)])
		}
	})
	for _, size := range []int{64, 1460} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size * port.Burst))
			got := 0
			for b.Loop() {
				cf.AllocBurst(ms)
				for _, m := range ms {
					m.SetBounds(mbuf.Headroom, size)
				}
				cf.FreeBurst(ms[from.Queue(0).TxBurst(ms):])
				n := to.Queue(0).RxBurst(ms)
				got += n
				ct.FreeBurst(ms[:n])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(max(got, 1)), "ns/packet")
		})
	}
}
