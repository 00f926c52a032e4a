package kernel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/cli"
)

// patience bounds everything that waits for the network.
const patience = 60 * time.Second

// streams numbers the streams of bytes of all tests, so that one that turns up in the wrong place is recognised.
var streams atomic.Uint32

// bed is a topology with a listener on the server for each family.
type bed struct {
	t       *testing.T
	top     *topology.Topology
	a, b    *topology.Gateway // nil where a bridge is in the gateway's place
	capture *topology.Capture
	servers map[family]*server
}

type family string

const (
	ipv4 family = "IPv4"
	ipv6 family = "IPv6"
)

var families = []family{ipv4, ipv6}

func (f family) serverAddr(port int) string {
	host := topology.Server4
	if f == ipv6 {
		host = topology.Server6
	}
	return net.JoinHostPort(host, fmt.Sprint(port))
}

const port = 7000

// newBed makes a topology without gateways whose wire is captured.
func newBed(t *testing.T) *bed {
	t.Helper()
	return bedOf(t, topology.Options{})
}

// bedOf makes a topology without gateways; its wire, if it has one, is captured.
func bedOf(t *testing.T, o topology.Options) *bed {
	t.Helper()
	need(t)
	o.Bin = programs
	top, err := topology.New(o)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, top: top, servers: map[family]*server{}}
	t.Cleanup(b.close)
	for _, f := range families {
		s, err := listen(top.Server, f.serverAddr(port))
		if err != nil {
			t.Fatal(err)
		}
		b.servers[f] = s
	}
	if !o.Direct {
		if b.capture, err = top.Capture("wire.pcap"); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *bed) close() {
	for _, s := range b.servers {
		s.l.Close()
	}
	if b.t.Failed() {
		b.explain()
	}
	if b.capture != nil {
		b.capture.Abandon()
	}
	if err := b.top.Close(); err != nil {
		b.t.Error(err)
	}
}

// explain logs what the gateways have to say about a failure.
func (b *bed) explain() {
	for _, g := range []*topology.Gateway{b.a, b.b} {
		if g == nil {
			continue
		}
		st, err := g.Status()
		if err != nil {
			b.t.Log(err)
		}
		for _, list := range [][]cli.NamedCount{st.Drops, st.Aborts, st.Counters} {
			for _, c := range list {
				if c.Count != 0 {
					b.t.Logf("gateway %s: %s %d", g.Side, c.Name, c.Count)
				}
			}
		}
		b.t.Logf("gateway %s: flows %+v; said:\n%s", g.Side, st.Flows, g.Stderr())
	}
}

// insist keeps packets that a busy machine loses from being taken for a middlebox that drops ENO.
const insist = "handshake.eno_tries=10"

// startA starts the client's gateway; set are settings.
func (b *bed) startA(kind topology.PortKind, set ...string) {
	b.t.Helper()
	needPorts(b.t, kind)
	var err error
	if b.a, err = b.top.Start(topology.SideA, kind, append([]string{insist}, set...)...); err != nil {
		b.t.Fatal(err)
	}
}

// startB starts the server's gateway.
func (b *bed) startB(kind topology.PortKind, set ...string) {
	b.t.Helper()
	needPorts(b.t, kind)
	var err error
	if b.b, err = b.top.Start(topology.SideB, kind, append([]string{insist}, set...)...); err != nil {
		b.t.Fatal(err)
	}
}

// gateways returns a bed with both gateways.
func gateways(t *testing.T, kind topology.PortKind, set ...string) *bed {
	t.Helper()
	b := newBed(t)
	b.startA(kind, set...)
	b.startB(kind, set...)
	return b
}

// wire ends the capture, begins another one and returns what the first shows.
func (b *bed) wire() topology.Wire {
	b.t.Helper()
	path, lost, err := b.capture.Stop()
	b.capture = nil
	if err != nil {
		b.t.Fatal(err)
	}
	w, err := topology.Examine(path)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.capture, err = b.top.Capture("wire.pcap"); err != nil {
		b.t.Fatal(err)
	}
	if lost > 0 {
		b.t.Logf("capture: %d packets lost", lost)
	}
	return w
}

// wantEncrypted fails unless the wire since the last look carried data and no plaintext, and ENO in all SYN segments.
func (b *bed) wantEncrypted(data int) {
	b.t.Helper()
	w := b.wire()
	if w.Plaintext != 0 {
		b.t.Errorf("plaintext on the wire in %d packets: %s", w.Plaintext, w.First)
	}
	if w.SYN == 0 || w.SYNWithENO != w.SYN || w.SYNACK == 0 || w.SYNACKWithENO != w.SYNACK {
		b.t.Errorf("not all SYN segments have ENO: %+v", w)
	}
	if w.Payload < data {
		b.t.Errorf("the capture has %d bytes of data, %d were sent", w.Payload, data)
	}
}

// session returns what a gateway lists for a connection, given by the client's end.
func (b *bed) session(g *topology.Gateway, c *net.TCPConn) (cli.Session, bool) {
	b.t.Helper()
	list, err := g.Sessions()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range list {
		if s.Client == c.LocalAddr().String() && s.Server == c.RemoteAddr().String() {
			return s, true
		}
	}
	return cli.Session{}, false
}

// wantSameSession fails unless both gateways list the connection under one ID. It returns what the first one lists.
func (b *bed) wantSameSession(c *net.TCPConn) cli.Session {
	b.t.Helper()
	sa, okA := b.session(b.a, c)
	sb, okB := b.session(b.b, c)
	if !okA || !okB || sa.SessionID == "" || sa.SessionID != sb.SessionID {
		b.t.Errorf("%s: listed by a: %t %+v, by b: %t %+v", c.LocalAddr(), okA, sa, okB, sb)
	}
	return sa
}

// server accepts connections and hands them to whoever opened them.
type server struct {
	l        *net.TCPListener
	addr     string
	mu       sync.Mutex
	accepted map[string]chan *net.TCPConn
}

func listen(ns topology.NetNS, addr string) (*server, error) {
	l, err := ns.Listen(addr)
	if err != nil {
		return nil, err
	}
	s := &server{l: l, addr: addr, accepted: map[string]chan *net.TCPConn{}}
	go func() {
		for {
			conn, err := l.AcceptTCP()
			if err != nil {
				return
			}
			s.slot(conn.RemoteAddr()) <- conn
		}
	}()
	return s, nil
}

// slot is where the connection with a client's address is handed over.
func (s *server) slot(client net.Addr) chan *net.TCPConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, ok := s.accepted[client.String()]
	if !ok {
		ch = make(chan *net.TCPConn, 1)
		s.accepted[client.String()] = ch
	}
	return ch
}

// connect opens a connection and returns both ends, with a deadline for everything on them.
func (b *bed) connect(f family) (client, srv *net.TCPConn, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := b.servers[f]
	client, err = b.top.Client.Dial(ctx, s.addr)
	if err != nil {
		return nil, nil, err
	}
	select {
	case srv = <-s.slot(client.LocalAddr()):
	case <-ctx.Done():
		client.Close()
		return nil, nil, errors.New("the client is connected, but the server never accepted")
	}
	s.mu.Lock()
	delete(s.accepted, client.LocalAddr().String())
	s.mu.Unlock()
	deadline := time.Now().Add(patience)
	return client, srv, errors.Join(client.SetDeadline(deadline), srv.SetDeadline(deadline))
}

// mustConnect is connect for the goroutine of the test; both ends are closed when it ends.
func (b *bed) mustConnect(f family) (client, srv *net.TCPConn) {
	b.t.Helper()
	client, srv, err := b.connect(f)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { client.Close(); srv.Close() })
	return client, srv
}

// closeAll closes the connections that nobody has asked for.
func (s *server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range s.accepted {
		select {
		case c := <-ch:
			c.Close()
		default:
		}
	}
}

// chmodUp lets everybody walk to a folder below /tmp.
func chmodUp(dir string) error {
	for ; dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}
