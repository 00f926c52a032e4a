package afxdp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

const testEtherType = 0x88b5

// inNamespace moves the test's thread into a network namespace of its own, which ends with the test, however that ends.
func inNamespace(t *testing.T) {
	t.Helper()
	testenv.NeedRoot(t)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, format string, args ...any) {
	t.Helper()
	f := strings.Fields(fmt.Sprintf(format, args...))
	if out, err := exec.Command(f[0], f[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", f, err, out)
	}
}

// veth makes the pair lc-p, the port's end, and lc-h, the host's, without VLAN offloads, up.
func veth(t *testing.T, queues, mtu int) {
	t.Helper()
	command(t, "ip link add lc-p numrxqueues %d numtxqueues %d type veth peer name lc-h numrxqueues %d numtxqueues %d", queues, queues, queues, queues)
	for _, end := range []string{"lc-p", "lc-h"} {
		command(t, "ethtool -K %s txvlan off rxvlan off", end)
		command(t, "ip link set %s mtu %d up", end, mtu)
	}
}

// buffers makes a cache over a pool of buffers with so much room.
func buffers(t *testing.T, room int) *mbuf.Cache {
	t.Helper()
	a, err := mbuf.NewArena(1024, room)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return mbuf.NewCache(a)
}

// openJumbo opens a port on lc-p with buffers for jumbo frames.
func openJumbo(t *testing.T, c *mbuf.Cache) *Port {
	t.Helper()
	p, err := Open("lc-p", port.Config{Queues: 1, Caches: []*mbuf.Cache{c}, OpenTimeout: 5 * time.Second})
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

// host is a raw socket on the host's end.
type host struct {
	t  *testing.T
	fd int
}

func newHost(t *testing.T) host {
	t.Helper()
	const all = unix.ETH_P_ALL << 8 & 0xff00
	ifc, err := net.InterfaceByName("lc-h")
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifc.Index}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}); err != nil {
		t.Fatal(err)
	}
	return host{t, fd}
}

func (h host) send(b []byte) {
	h.t.Helper()
	if _, err := unix.Write(h.fd, b); err != nil {
		h.t.Fatal(err)
	}
}

// receive returns the next test frame that arrived, or nil when none came within the time limit.
func (h host) receive() []byte {
	h.t.Helper()
	buf := make([]byte, 16<<10)
	for {
		n, from, err := unix.Recvfrom(h.fd, buf, 0)
		if err != nil {
			return nil
		}
		if sll, ok := from.(*unix.SockaddrLinklayer); ok && sll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if isTest(buf[:n]) {
			return bytes.Clone(buf[:n])
		}
	}
}

// frame makes a test frame of n bytes, whose content depends on seed.
func frame(n int, seed byte) []byte {
	b := make([]byte, n)
	copy(b, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2})
	binary.BigEndian.PutUint16(b[12:], testEtherType)
	for i := 14; i < n; i++ {
		b[i] = byte(i*7+i>>8) + seed
	}
	return b
}

// isTest tells the test's frames from what the kernel sends by itself.
func isTest(b []byte) bool { return len(b) >= 14 && binary.BigEndian.Uint16(b[12:]) == testEtherType }

func alloc(t *testing.T, c *mbuf.Cache, b []byte) *mbuf.Mbuf {
	t.Helper()
	m := c.Alloc()
	if m == nil || !m.Append(b) {
		t.Fatal("no buffer")
	}
	return m
}

// poll receives the next test frame within a time limit; others are freed.
func poll(q port.Queue, c *mbuf.Cache) *mbuf.Mbuf {
	var ms [1]*mbuf.Mbuf
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if q.RxBurst(ms[:]) == 0 {
			continue
		}
		if isTest(ms[0].Data()) {
			return ms[0]
		}
		c.Free(ms[0])
	}
	return nil
}

// carries shows that frames of these sizes pass both ways between the port and the host's end unchanged.
func carries(t *testing.T, p port.Port, c *mbuf.Cache, h host, sizes ...int) {
	t.Helper()
	q := p.Queue(0)
	for i, n := range sizes {
		f := frame(n, byte(i))
		h.send(f)
		m := poll(q, c)
		if m == nil {
			t.Errorf("%d bytes: nothing came in", n)
			continue
		}
		if !bytes.Equal(m.Data(), f) || m.RefCnt() != 1 || m.NbSegs != 1 || int(m.PktLen) != n || m.HeadroomLen() != mbuf.Headroom {
			t.Errorf("%d bytes: came in as %d", n, m.DataLen)
		}
		if q.TxBurst([]*mbuf.Mbuf{m}) != 1 {
			t.Fatalf("%d bytes: not taken", n)
		}
		if got := h.receive(); !bytes.Equal(got, f) {
			t.Errorf("%d bytes: went out as %d", n, len(got))
		}
	}
}
