package kernel

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"linecrypt/bench/testenv"
	"linecrypt/bench/topology"
)

// terminal is a terminal of tmux's with a program in it.
type terminal struct {
	b    *bed
	sock string
}

func (b *bed) terminal(width, height int, command string) *terminal {
	b.t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		testenv.Skip(b.t, "tmux is missing (Debian package tmux)")
	}
	term := &terminal{b, filepath.Join(b.t.TempDir(), "tmux")}
	term.do("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height), command)
	b.t.Cleanup(func() { _ = exec.Command("tmux", "-S", term.sock, "kill-server").Run() })
	return term
}

func (w *terminal) do(args ...string) string {
	w.b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "tmux", append([]string{"-S", w.sock}, args...)...)
	cmd.Env = append(w.b.top.Env(), "PATH=/usr/bin:/bin", "TERM=xterm-256color", "LC_ALL=C.UTF-8", "SHELL=/bin/sh")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.b.t.Fatalf("tmux %v: %v: %s", args, err, out)
	}
	return string(out)
}

// await waits for a screen that has all of some texts, and returns it.
func (w *terminal) await(texts ...string) string {
	w.b.t.Helper()
	screen := ""
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		screen = w.do("capture-pane", "-p")
		found := true
		for _, text := range texts {
			found = found && strings.Contains(screen, text)
		}
		if found {
			return screen
		}
	}
	w.b.t.Fatalf("no screen with %q, but\n%s", texts, screen)
	return ""
}

func TestTopShowsLiveLoadInATerminalOfAnySize(t *testing.T) {
	b := gateways(t, topology.Packet)
	client, srv := b.mustConnect(ipv4)
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { // some load, until the test is over
		for ctx.Err() == nil {
			if err := exchange(client, srv, 1_000_000, 1_000_000, false); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	command := filepath.Join(programs, "linecrypt") + " top --name " + b.a.Name + "; echo status $?; sleep 60"
	w := b.terminal(80, 24, command)
	connection := client.LocalAddr().String()
	screen := w.await("linecrypt "+b.a.Name, "encrypted  1 connection", "WORKER", "█", "CYCLES A PACKET", "crypto", "by rate", "q quit")
	if strings.Contains(screen, "TROUBLE") {
		t.Error(screen)
	}
	w.await(connection, "bit/s")
	w.do("resize-window", "-x", "100", "-y", "40")
	w.await(connection+" > "+client.RemoteAddr().String(), "q quit")
	w.do("send-keys", "s")
	w.await("by bytes")
	w.do("send-keys", "p")
	w.await("PAUSED")
	w.do("send-keys", "p")
	w.do("resize-window", "-x", "60", "-y", "15")
	for line := range strings.Lines(w.await("q quit")) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 60 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	w.do("send-keys", "q")
	w.await("status 0")
	b.terminal(100, 40, "TERM=dumb "+command).await("encrypted  1 connection", "status 0")
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	out, err := b.a.Command("top", "--once")
	if err != nil || !strings.Contains(out, "CONNECTIONS  1 encrypted") || strings.Contains(out, "\x1b") {
		t.Errorf("--once: %v\n%s", err, out)
	}
}
