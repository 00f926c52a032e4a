package afxdp

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"linecrypt/bench/testenv"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/porttest"
)

func command(t *testing.T, format string, args ...any) {
	t.Helper()
	f := strings.Fields(fmt.Sprintf(format, args...))
	testenv.Run(t, f[0], f[1:]...)
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

// carries shows that frames of these sizes pass both ways between the port and the host's end unchanged.
func carries(t *testing.T, p port.Port, c *mbuf.Cache, h porttest.Host, sizes ...int) {
	t.Helper()
	q := p.Queue(0)
	for i, n := range sizes {
		f := porttest.Frame(n, byte(i))
		h.Send(f)
		m := porttest.Poll(q, c)
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
		if got := h.Receive(); !bytes.Equal(got, f) {
			t.Errorf("%d bytes: went out as %d", n, len(got))
		}
	}
}
