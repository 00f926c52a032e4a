package cli

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// runControlPlane starts a control plane for the fake gateway, and waits until it serves.
func (g *fakeGateway) runControlPlane(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctrl := exec.Command(self, append([]string{"--name", "gw", "--set", "metrics.listen=off", "--ready-fd", "1"}, args...)...)
	ctrl.Args[0] = realControlPlane
	out, err := ctrl.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ctrl.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = ctrl.Process.Signal(syscall.SIGTERM)
		_ = ctrl.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("control plane says %q, %v", line, err)
	}
	return ctrl
}

// obeyRekey plays a worker that rekeys, and its far end, until the test ends.
func (g *fakeGateway) obeyRekey(t *testing.T, worker int) {
	replies := shm.NewConsumer(g.seg.Worker(worker).Replies)
	done, ended := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(done); <-ended })
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			msg, err := replies.Peek()
			if err != nil || msg == nil {
				continue
			}
			var o shm.Order
			if o.Decode(msg) == nil && o.Kind == shm.Rekey {
				r := g.tables[worker].Get(o.Ref.Index, o.Ref.Gen)
				atomic.AddUint32(&r.Rare.SealGen, 1)
				atomic.AddUint32(&r.Rare.OpenGen, 1)
			}
			replies.Release()
		}
	}()
}

func TestRekeyReportsTheNewGeneration(t *testing.T) {
	g := newFakeGateway(t)
	if status, _, errs := call(t, "rekey", "--name", "gw", "--all"); status != exitFailure || !strings.Contains(errs, "has no control plane just now") {
		t.Errorf("without a control plane: status %d, %q", status, errs)
	}
	table, err := sessiontable.OpenWriter(g.in.SessionTablePath(), sessiontable.Options{Capacity: 200, Instance: g.seg.Nonce(), Group: -1})
	if err != nil {
		t.Fatal(err)
	}
	key := v4Key(1, 2, 40000, 443)
	i, r := g.add(0, key, flowtable.Encrypted)
	e := sessiontable.Entry{Tuple: key, Active: true, Role: 1, Index: i, Gen: r.Gen}
	copy(e.SessionID[:], []byte{0x23, 0xab, 0xcd})
	if err := table.Insert(&e); err != nil {
		t.Fatal(err)
	}
	plain := v4Key(1, 2, 40001, 443)
	g.add(0, plain, flowtable.Plain)
	table.Close()
	g.runControlPlane(t)
	g.obeyRekey(t, 0)
	if _, ok := g.in.Running(instance.ControlPlane); !ok {
		t.Fatal("no control plane")
	}
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"192.0.2.1:40000", "198.51.100.2:443"}, exitOK, "192.0.2.1:40000 198.51.100.2:443: sealed under key generation 1, opened under 1: the far end has followed after "},
		{[]string{"--wait", "10s", "23abcd"}, exitOK, "sealed under key generation 2, opened under 2: "},
		{[]string{"--all"}, exitOK, "1 connection changed keys, 0 did not\n"},
		{[]string{"--json", "23ab"}, exitOK, `"outcome": "done"`},
		{[]string{"23ff"}, exitFailure, "linecrypt: session ID 23ff: no such encrypted connection\n"},
		{[]string{"192.0.2.1:40001", "198.51.100.2:443"}, exitFailure, "192.0.2.1:40001 and 198.51.100.2:443: the connection is not encrypted\n"},
		{[]string{"192.0.2.1:1", "198.51.100.2:443"}, exitFailure, "192.0.2.1:1 and 198.51.100.2:443: no such encrypted connection\n"},
		{nil, exitUsage, "linecrypt rekey: want the two ends of a connection, a session ID or --all\n"},
		{[]string{"--all", "23ab"}, exitUsage, "want the two ends of a connection, a session ID or --all\n"},
		{[]string{"a", "b", "c"}, exitUsage, `unexpected argument "c"`},
		{[]string{"--wait", "1m", "23ab"}, exitUsage, "--wait 1m0s is not 0 to 20s\n"},
	} {
		status, out, errs := call(t, append([]string{"rekey", "--name", "gw"}, c.args...)...)
		if status != c.status || !strings.Contains(out+errs, c.says) {
			t.Errorf("%v: status %d, output\n%s%s\nwant\n%s", c.args, status, out, errs, c.says)
		}
	}
}
