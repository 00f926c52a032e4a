package kernel

import (
	"bufio"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"linecrypt/bench/topology"
)

// TestWatchTellsOfPlainAndRefusedConnections has one gateway, with a rule that lets connections go in the clear and one that does not.
func TestWatchTellsOfPlainAndRefusedConnections(t *testing.T) {
	b := newBed(t)
	strict := b.servers[ipv6].addr[strings.LastIndex(b.servers[ipv6].addr, ":")+1:]
	b.startFileA(topology.Packet, "policy: opportunistic\nrules:\n  - {name: strict, destination: ['"+topology.Server6+"/128'], policy: require}\n")
	b.check(b.top.Plain(topology.SideB))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "linecrypt"), "sessions", "--watch", "--name", b.a.Name)
	cmd.Env = b.top.Env()
	out, err := cmd.StdoutPipe()
	b.check(err)
	b.check(cmd.Start())
	lines := bufio.NewScanner(out)
	next := func(event, state, client, reason string) {
		t.Helper()
		for lines.Scan() {
			var e struct {
				Event, State, Client, Reason string
				SessionID                    string `json:"session_id"`
			}
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatalf("%q: %v", lines.Text(), err)
			}
			if e.State == "" || client != "" && e.Client != client {
				continue
			}
			if e.Event != event || e.State != state || e.Reason != reason || e.SessionID != "" {
				t.Errorf("%s, not %s of a connection that is %s because of %s", lines.Text(), event, state, reason)
			}
			return
		}
		t.Fatalf("nothing was told of %s", client)
	}
	before, _ := b.mustConnect(ipv4) // one that there is when somebody begins to watch, or comes then
	next("open", "plain", before.LocalAddr().String(), "no_eno_in_syn_ack")
	client, srv := b.mustConnect(ipv4)
	b.check(exchange(client, srv, 100, 100, true))
	next("open", "plain", client.LocalAddr().String(), "no_eno_in_syn_ack")
	client.Close()
	srv.Close()
	next("close", "plain", client.LocalAddr().String(), "no_eno_in_syn_ack")
	b.wantRefused(ipv6)
	next("refused", "refused", "", "no_eno_in_syn_ack")
	b.eventually("the refused connection is listed", func() bool {
		list, err := b.a.Refused()
		b.check(err)
		return len(list) > 0 && list[0].Rule == "strict" && list[0].Verdict == "require" && list[0].Reason == "no_eno_in_syn_ack" &&
			strings.HasSuffix(list[0].Server, ":"+strict) && list[0].AgeS < patience.Seconds()
	})
	b.check(cmd.Process.Signal(syscall.SIGINT))
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGINT: %v", err)
	}
}
