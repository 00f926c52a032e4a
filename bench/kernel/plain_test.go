package kernel

import (
	"net"
	"testing"
	"time"

	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/cli"
)

// plain returns what a gateway lists of a connection in the clear, given by the client's end.
func (b *bed) plain(g *topology.Gateway, c *net.TCPConn) (cli.Session, bool) {
	b.t.Helper()
	list, err := g.Plain()
	b.check(err)
	for _, s := range list {
		if s.Client == c.LocalAddr().String() && s.Server == c.RemoteAddr().String() {
			return s, true
		}
	}
	return cli.Session{}, false
}

func TestPlainConnectionsAreListedWithTheReasonAndThoseThatWereMetToo(t *testing.T) {
	b := newBed(t)
	b.startA(topology.Packet)
	b.check(b.top.Plain(topology.SideB))
	client, srv := b.mustConnect(ipv4)
	b.check(exchange(client, srv, 10_000, 10_000, false))
	if s, ok := b.plain(b.a, client); !ok || s.Reason != "no_eno_in_syn_ack" || s.Rule != "default" || s.Verdict != "opportunistic" || s.Because == "" {
		t.Errorf("a far end without tcpcrypt: %+v, listed: %v", s, ok)
	}
	b.check(b.a.Stop())
	b.startA(topology.Packet)
	// Data may be lost with the ports' rings, until TCP sends it again.
	b.check(exchange(client, srv, 10_000, 10_000, false))
	// A data plane that has just begun goes by its configuration, and its rules have no names until the control plane publishes them.
	if s, ok := b.plain(b.a, client); !ok || s.Reason != "met" || s.Verdict != "opportunistic" || s.Rule != "default" && s.Rule != "" {
		t.Errorf("a connection that is older than the gateway: %+v, listed: %v", s, ok)
	}
	client.Close()
	srv.Close()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		if _, listed := b.plain(b.a, client); !listed {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a connection that is over is listed still")
		}
	}
	b.check(b.a.Stop())
	b.startA(topology.Packet, "policy=require")
	if c, _, err := b.connect(ipv4); err == nil {
		c.Close()
		t.Error("policy require lets a connection through to a far end without tcpcrypt")
	}
	if list, err := b.a.Plain(); err != nil || len(list) != 0 {
		t.Errorf("a refused connection is listed as one in the clear: %+v, %v", list, err)
	}
}
