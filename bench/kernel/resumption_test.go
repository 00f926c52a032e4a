package kernel

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/topology"
)

// TestLinuxHostsResume: the options of Linux leave just enough room in SYN and SYN-ACK. The second connection between two hosts
// resumes, in both directions of opening, and what `linecrypt resumption flush` forgets is not resumed.
func TestLinuxHostsResume(t *testing.T) {
	b := gateways(t, topology.Packet)
	speak := func(client, srv *net.TCPConn) {
		t.Helper()
		for _, way := range [][2]*net.TCPConn{{client, srv}, {srv, client}} {
			_, err := way[0].Write(make([]byte, 50_000))
			b.check(err)
			_, err = io.ReadFull(way[1], make([]byte, 50_000))
			b.check(err)
		}
	}
	for _, f := range families {
		for i := range 4 {
			client, srv := b.mustConnect(f)
			speak(client, srv)
			s := b.wantSameSession(client)
			if want := i > 0; s.Resumed != want || strings.HasPrefix(s.SessionID, "a3") != want {
				t.Errorf("%s, connection %d: resumed %v, session ID %s", f, i, s.Resumed, s.SessionID)
			}
			client.Close()
			srv.Close()
		}
	}
	b.wantEncrypted(8 * 100_000)
	for _, g := range []*topology.Gateway{b.a, b.b} {
		st, err := g.Status()
		b.check(err)
		done := uint64(0)
		for _, c := range st.Resumption {
			if c.Name == "resume_done" {
				done = c.Count
			}
		}
		if done != 6 {
			t.Errorf("gateway %s: %d connections are counted as resumed", g.Side, done)
		}
	}
	if out := b.flush(b.a, topology.Server4); !strings.Contains(out, "1 forgotten; 1 of 16384 places are in use") {
		t.Errorf("flush: %s", out)
	}
	for _, f := range families {
		client, srv := b.mustConnect(f)
		speak(client, srv)
		if s := b.wantSameSession(client); s.Resumed != (f == ipv6) {
			t.Errorf("%s: resumed %v behind a flush of the IPv4 peer", f, s.Resumed)
		}
	}
}

// flush has a gateway forget what it could resume with a far end, and returns what the command says.
func (b *bed) flush(g *topology.Gateway, peer string) string {
	b.t.Helper()
	flush := exec.Command(filepath.Join(programs, "linecrypt"), "resumption", "flush", "--peer", peer, "--name", g.Name)
	flush.Env = b.top.Env()
	out, err := flush.CombinedOutput()
	if err != nil {
		b.t.Fatalf("flush: %v: %s", err, out)
	}
	return string(out)
}

// TestProgramForgetsWhatItsConnectionLeftByASocketOption: neither host resumes behind TCP_CRYPT_CACHE_FLUSH of a program at one end.
func TestProgramForgetsWhatItsConnectionLeftByASocketOption(t *testing.T) {
	b := gateways(t, topology.Packet)
	for i, c := range []struct {
		option  string
		resumed string
	}{{"", "0"}, {"", "1"}, {"flush", "1"}, {"", "0"}, {"", "1"}} {
		args := []string{"connect", topology.Server4, fmt.Sprint(port)}
		if c.option != "" {
			args = append(args, c.option)
		}
		p := b.probe(b.top.Client, nil, "probe", args...)
		said := p.report()
		want(t, fmt.Sprintf("connection %d", i), said, map[string]string{"resumed": c.resumed})
		if c.option != "" {
			want(t, "flush", said, map[string]string{"flush": "0"})
		}
		p.stdin.Close()
		b.eventuallyNoSession()
	}
}

// TestProgramSaysBeforeItConnectsOrListensThatNothingIsResumed: by a socket option at either end its connections resume nothing, and leave
// nothing to resume with (RFC 8548 section 3.5).
func TestProgramSaysBeforeItConnectsOrListensThatNothingIsResumed(t *testing.T) {
	b := gateways(t, topology.Packet)
	const other = "7100"
	for i, c := range []struct {
		client, server, resumed string
	}{
		{"fresh", "", "0"}, {"", "", "0"}, // the first has left nothing
		{"fresh", "", "0"}, {"", "", "1"}, // and has taken nothing of what the second left
		{"", "fresh", "0"}, {"", "", "0"}, // the offer is answered by a fresh key exchange, which the client's end forgets
		{"", "", "1"},
	} {
		args := func(mode, option string) []string {
			if option == "" {
				return []string{mode, topology.Server4, other}
			}
			return []string{mode, topology.Server4, other, option}
		}
		srv := b.probe(b.top.Server, nil, "probe", args("serve", c.server)...)
		srv.expect("listening")
		client := b.probe(b.top.Client, nil, "probe", args("connect", c.client)...)
		what := fmt.Sprintf("connection %d, %+v", i, c)
		want(t, what, client.report(), map[string]string{"resumed": c.resumed})
		want(t, what, srv.report(), map[string]string{"resumed": c.resumed})
		client.end()
		srv.end()
		time.Sleep(200 * time.Millisecond) // until the control planes have seen that the programs are gone, and forget what they said of the port
		b.eventuallyNoSession()
	}
}

// TestBothHostsResumeAtOnceAndBehindALostSYN opens connections from both ends at the same moment, and has a SYN that offers to resume
// lost and sent again.
func TestBothHostsResumeAtOnceAndBehindALostSYN(t *testing.T) {
	needTool(t, "nft")
	b := gateways(t, topology.Packet, "policy=require")
	client, srv := b.mustConnect(ipv4)
	b.check(exchange(client, srv, 1000, 1000, true))
	const rounds = 4
	for round := range rounds {
		to := []string{fmt.Sprintf("%s:%d", topology.Server4, 7300+round), fmt.Sprintf("%s:%d", topology.Client4, 7300+round)}
		froms := []topology.NetNS{b.top.Client, b.top.Server}
		var openers [2]*net.TCPConn
		b.all(2, func(i int) error {
			opener, other, err := b.between(froms[i], froms[1-i], to[i])
			if err != nil {
				return err
			}
			openers[i] = opener
			return exchange(opener, other, 1000, 1000, false)
		})
		if one, two := b.wantSameSession(openers[0]), b.wantSameSession(openers[1]); one.SessionID == two.SessionID {
			t.Errorf("round %d: one session ID twice", round)
		}
	}
	drop := func(args ...string) {
		t.Helper()
		if _, err := b.top.Wire.Run("nft", args...); err != nil {
			t.Fatal(err)
		}
	}
	drop("add", "table", "netdev", "t")
	drop("add", "chain", "netdev", "t", "in", fmt.Sprintf("{ type filter hook ingress device %q priority 0; }", topology.WireA))
	drop("add", "rule", "netdev", "t", "in", "tcp", "dport", "7310", "tcp", "flags", "syn", "counter", "drop")
	lost := make(chan struct{})
	go func() { // the wire is whole again once it has lost one, however late that is
		defer close(lost)
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if said, err := b.top.Wire.Run("nft", "list", "table", "netdev", "t"); err != nil || !strings.Contains(said, "packets 0 ") {
				break
			}
		}
		_, _ = b.top.Wire.Run("nft", "delete", "table", "netdev", "t")
	}()
	defer func() { <-lost }()
	began := time.Now()
	opener, other, err := b.between(b.top.Client, b.top.Server, topology.Server4+":7310")
	if err != nil {
		t.Fatal(err)
	}
	b.check(exchange(opener, other, 1000, 1000, false))
	if s := b.wantSameSession(opener); !s.Resumed || time.Since(began) < 900*time.Millisecond {
		t.Errorf("after %v: %+v", time.Since(began), s)
	}
	if w := b.wire(); w.Plaintext != 0 {
		t.Errorf("on the wire: %+v", w)
	}
}

// TestResumptionOutlivesChangedAddressesAndRestarts has a router between the gateways that translates the client's address to changing
// ones, a client that moves, and control planes that are killed. No connection is lost by any of it, and what can resume does.
func TestResumptionOutlivesChangedAddressesAndRestarts(t *testing.T) {
	needTool(t, "nft")
	b := gateways(t, topology.Packet, "policy=require")
	b.route()
	const to = "10.97.0.2:7000"
	connect := func(what string, from topology.NetNS, local string, resumed bool) {
		t.Helper()
		l, err := b.top.Server.Listen(to)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var client net.Conn
		b.check(from.Do(func() (err error) {
			d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
			client, err = d.Dial("tcp4", to)
			return err
		}))
		if client == nil {
			t.Fatalf("%s: no connection", what)
		}
		defer client.Close()
		srv, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		b.check(exchange(client.(*net.TCPConn), srv, 5000, 5000, false))
		sa, okA := b.session(b.a, client.(*net.TCPConn))
		var ids []string
		list, err := b.b.Sessions()
		b.check(err)
		for _, s := range list {
			if s.Client == srv.RemoteAddr().String() {
				ids = append(ids, s.SessionID)
			}
		}
		if !okA || len(ids) != 1 || ids[0] != sa.SessionID || sa.Resumed != resumed {
			t.Errorf("%s: a has %t, %+v; b has %v", what, okA, sa, ids)
		}
	}
	connect("the first", b.top.Client, topology.Client4, false)
	connect("the second", b.top.Client, topology.Client4, true)
	b.translate("10.97.0.252")
	connect("from another address, as the server's gateway sees it", b.top.Client, topology.Client4, true)
	if _, err := b.top.Client.Run("ip", "addr", "add", "10.99.0.3/24", "dev", topology.Host); err != nil {
		t.Fatal(err)
	}
	connect("from another address, as both see it", b.top.Client, "10.99.0.3", false)
	connect("from the first address again", b.top.Client, topology.Client4, true)
	saidA, saidB := b.a.Stderr(), b.b.Stderr()
	for _, g := range []*topology.Gateway{b.a, b.b} {
		b.check(syscall.Kill(g.ControlPlane(), syscall.SIGKILL))
	}
	b.awaitSaid(b.a, saidA, "attached to the data plane")
	b.awaitSaid(b.b, saidB, "attached to the data plane")
	connect("behind restarts of both control planes", b.top.Client, topology.Client4, true)
	// A data plane that was started anew has nothing to resume with, and the far end has: the key exchange is in the same handshake.
	b.check(b.b.Stop())
	b.startB(topology.Packet, "policy=require")
	connect("behind a restart of the server's gateway", b.top.Client, topology.Client4, false)
	for g, name := range map[*topology.Gateway]string{b.a: "resume_missed", b.b: "resume_unknown"} {
		st, err := g.Status()
		b.check(err)
		if count(st.Resumption, name) == 0 {
			t.Errorf("gateway %s counts nothing as %s: %+v", g.Side, name, st.Resumption)
		}
	}
	connect("and the next", b.top.Client, topology.Client4, true)
}

// route makes the wire a router between two networks, the server in 10.97.0.0/24, that translates the client's address.
func (b *bed) route() {
	b.t.Helper()
	for _, c := range []struct {
		ns   topology.NetNS
		args string
	}{
		{b.top.Wire, "link del bridge0"}, {b.top.Wire, "addr add 10.99.0.254/24 dev " + topology.WireA},
		{b.top.Wire, "addr add 10.97.0.254/24 dev " + topology.WireB}, {b.top.Wire, "addr add 10.97.0.253/24 dev " + topology.WireB},
		{b.top.Wire, "addr add 10.97.0.252/24 dev " + topology.WireB},
		{b.top.Client, "route add 10.97.0.0/24 via 10.99.0.254"}, {b.top.Server, "addr add 10.97.0.2/24 dev " + topology.Host},
	} {
		if _, err := c.ns.Run("ip", strings.Fields(c.args)...); err != nil {
			b.t.Fatal(err)
		}
	}
	b.sysctl(b.top.Wire, "net/ipv4/ip_forward", "1")
	b.translate("10.97.0.253")
}

// translate has the router give the client's connections another address from now on.
func (b *bed) translate(addr string) {
	b.t.Helper()
	_, _ = b.top.Wire.Run("nft", "delete", "table", "ip", "t")
	for _, args := range []string{
		"add table ip t", "add chain ip t post { type nat hook postrouting priority 100; }",
		"add rule ip t post oifname " + topology.WireB + " snat to " + addr,
	} {
		if _, err := b.top.Wire.Run("nft", args); err != nil {
			b.t.Fatal(err)
		}
	}
}

// sysctl sets a kernel parameter of a namespace.
func (b *bed) sysctl(ns topology.NetNS, key, value string) {
	b.t.Helper()
	if err := ns.Do(func() error { return os.WriteFile("/proc/sys/"+key, []byte(value), 0) }); err != nil {
		b.t.Fatal(err)
	}
}
