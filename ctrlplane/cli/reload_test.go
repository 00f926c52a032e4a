package cli

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"linecrypt/ctrlplane/instance"
	"linecrypt/flowtable"
)

// notify hands SIGTERM over while the test runs.
func notify(t *testing.T, to chan os.Signal) {
	signal.Notify(to, syscall.SIGTERM)
	t.Cleanup(func() { signal.Stop(to) })
}

func TestReloadTellsWhatCameOfIt(t *testing.T) {
	g := newFakeGateway(t)
	file := filepath.Join(t.TempDir(), "gw.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if status, _, errs := call(t, "reload", "--name", "gw"); status != exitFailure || !strings.Contains(errs, "has no control plane just now") {
		t.Errorf("without a control plane: status %d, error %q", status, errs)
	}
	write("policy: require\n")
	ctrl := g.runControlPlane(t, "--config", file)
	if pid, ok := g.in.Running(instance.ControlPlane); !ok || pid != ctrl.Process.Pid {
		t.Fatalf("control plane of pid %d, %v", pid, ok)
	}
	for _, c := range []struct {
		file   string
		status int
		says   string
		policy flowtable.Policy
	}{
		{"policy: require\n", exitOK, "reloaded: nothing has changed for new connections\n", flowtable.Require},
		{"", exitFailure, "nothing is changed, the old policy stays:\n" + file + ": policy: the key is not given", flowtable.Require},
		{"policy: perhaps\n", exitFailure, file + ":1: policy: \"perhaps\" is not one of", flowtable.Require},
		{"policy: opportunistic\nengine: generic\n", exitOK, "reloaded: policy (require -> opportunistic)\nwarning: new connections are protected less than before: " +
			"policy (require -> opportunistic)\nneeds a restart: engine (auto -> generic)\n", flowtable.Opportunistic},
	} {
		write(c.file)
		status, out, errs := call(t, "reload", "--name", "gw")
		if status != c.status || !strings.Contains(out+errs, c.says) {
			t.Errorf("%q: status %d, output\n%s%s\nwant\n%s", c.file, status, out, errs, c.says)
		}
		if got := g.seg.Policy(); got != c.policy {
			t.Errorf("%q: policy %v", c.file, got)
		}
	}
}
