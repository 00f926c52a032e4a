package cli

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serviceManager is where programs that are started from now on find one.
func serviceManager(t *testing.T) *net.UnixConn {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "lc-notify-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	addr := &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unixgram"}
	c, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", addr.Name)
	return c
}

func told(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 4096)
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestServiceManagerIsToldWhenPacketsFlowAndOfTheEnd(t *testing.T) {
	c := serviceManager(t)
	g := startGateway(t)
	if got := told(t, c); got != "READY=1\nSTATUS=packets flow" {
		t.Errorf("told %q", got)
	}
	if err := g.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if got := told(t, c); got != "STOPPING=1" {
		t.Errorf("told %q", got)
	}
}

func TestServiceManagerIsToldOfAWrongConfigurationThatItNeedNotTryAgain(t *testing.T) {
	c := serviceManager(t)
	file := filepath.Join(t.TempDir(), "f.yaml")
	if status, _, _ := call(t, "run", "--config", file); status != exitConfiguration {
		t.Errorf("no file: status %d", status)
	}
	if got := told(t, c); !strings.HasPrefix(got, "STATUS=") || !strings.Contains(got, file+": no such file") {
		t.Errorf("told %q", got)
	}
	if err := os.WriteFile(file, []byte("inside: a\npolcy: x\npolicy: y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := call(t, "run", "--config", file); status != exitConfiguration {
		t.Errorf("wrong keys: status %d", status)
	}
	if got := told(t, c); !strings.HasPrefix(got, "STATUS="+file+":2: ") || strings.Contains(got, "\n") {
		t.Errorf("told %q", got)
	}
}

func TestChildThatCannotBeginSaysWhy(t *testing.T) {
	c, err := startChild("data plane", "/bin/sh", []string{"-c", "echo 'failed: no interface' >&3; exit 1", "sh"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := <-c.done
	if why := c.why(ended); !errors.Is(why, ended) || why.Error() != "exit status 1: no interface" {
		t.Errorf("got %v", why)
	}
	select {
	case <-c.ready:
		t.Error("it counts as ready")
	default:
	}
}
