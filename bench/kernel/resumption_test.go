package kernel

import (
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
