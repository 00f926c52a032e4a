package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

func TestStopEndsAGatewayAndWaitsForIt(t *testing.T) {
	g := startGateway(t)
	g.awaitReady()
	status, out, errs := call(t, "stop")
	if status != exitOK || out != "instance \"default\" is stopped\n" {
		t.Errorf("status %d, output %q, error %q", status, out, errs)
	}
	if _, err := os.Stat(g.in.Dir()); !os.IsNotExist(err) {
		t.Errorf("the instance's folder is still there: %v", err)
	}
	g.await("dataplane stopped")
	g.await("ctrlplane stopped")
	if err := g.cmd.Wait(); err != nil {
		t.Errorf("run: %v", err)
	}
}

func TestStopEndsProcessesWhoseSupervisorIsGone(t *testing.T) {
	g := startGateway(t)
	g.awaitReady()
	data := g.pid(instance.DataPlane)
	// Without the signal that a dying parent sends: as if they had been started by hand.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	g.awaitGone(instance.DataPlane)
	g.awaitGone(instance.ControlPlane)
	byHand := exec.Command(self, "--inside", "a0", "--ready-fd", "1")
	byHand.Args[0] = dataPlaneBinary
	if err := byHand.Start(); err != nil {
		t.Fatal(err)
	}
	if now := g.pid(instance.DataPlane); now == data {
		t.Fatalf("it is the old one: %d", now)
	}
	ended := make(chan error, 1)
	go func() { ended <- byHand.Wait() }()
	if status, _, errs := call(t, "stop"); status != exitOK {
		t.Errorf("status %d, error %q", status, errs)
	}
	if err := <-ended; err != nil {
		t.Errorf("the data plane: %v", err)
	}
}

func TestStopGivesUpOnAProcessThatDoesNotEnd(t *testing.T) {
	g := newFakeGateway(t) // this process has its lock
	var out, errs bytes.Buffer
	// SIGTERM reaches this process, which does not end of it.
	ignored := make(chan os.Signal, 1)
	notify(t, ignored)
	a := App{Stdout: &out, Stderr: &errs}
	err := a.stop("gw", false, 100*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "has not ended within 100ms of SIGTERM") {
		t.Errorf("%v", err)
	}
	if len(ignored) != 1 {
		t.Error("it was not asked to end, or more than once")
	}
	if _, err := os.Stat(g.in.Dir()); err != nil {
		t.Errorf("what it needs is gone: %v", err)
	}
}

func TestStopRemovesWhatAKilledInstanceLeft(t *testing.T) {
	base := t.TempDir()
	t.Setenv(instance.EnvRunDir, base)
	in, err := instance.Open("gw")
	if err != nil {
		t.Fatal(err)
	}
	segment, err := in.SegmentPath()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(segment, []byte("keys"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, out, errs := call(t, "stop", "--name", "gw")
	if status != exitOK || !strings.Contains(out, "did not run; what it had left when it was killed is removed") {
		t.Errorf("status %d, output %q, error %q", status, out, errs)
	}
	for _, path := range []string{segment, in.Dir()} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	if status, _, _ := call(t, "stop", "--name", "gw"); status != exitFailure {
		t.Errorf("once more: status %d", status)
	}
}

const connectionSecret = "THIS IS A SECRET OF A CONNECTION"

// leaveConnection makes the segment that a data plane leaves when it is killed with one encrypted connection, and returns its path.
func leaveConnection(t *testing.T, in *instance.Instance, inside string) string {
	t.Helper()
	dir, err := in.SegmentDir()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	seg, err := shm.Create(dir, shm.Params{Name: in.Name(), Inside: inside, Outside: "a1", Cores: []int{-1}, Flows: flowtable.Layout{Capacity: 64, Chunks: 8}})
	if err != nil {
		t.Fatal(err)
	}
	w := seg.Worker(0)
	table, err := flowtable.New(w.FlowMemory, w.Layout, [2]uint64{1, 2}, 0)
	if err != nil {
		t.Fatal(err)
	}
	i, _ := table.Insert(&flowtable.Key{InsidePort: 1}, 1, 0)
	table.SetState(i, flowtable.Encrypted)
	copy(table.Record(i).Rare.Seal.Master[:], connectionSecret)
	seg.Close()
	return filepath.Join(dir, "linecrypt-"+in.Name())
}

func checkLeft(t *testing.T, segment string) {
	t.Helper()
	left, err := os.ReadFile(segment)
	if err != nil {
		t.Fatalf("the next data plane finds nothing to reset: %v", err)
	}
	if bytes.Contains(left, []byte(connectionSecret)) {
		t.Error("a key is left")
	}
}

func TestRunTellsOfAnInstanceOfAnotherNameThatWasKilledOnItsPorts(t *testing.T) {
	base := t.TempDir()
	t.Setenv(instance.EnvRunDir, base)
	t.Setenv("PATH", base) // no programs that are installed
	for name, inside := range map[string]string{"old": "a0", "elsewhere": "b0"} {
		in, err := instance.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		leaveConnection(t, in, inside)
	}
	for name, told := range map[string]bool{"new": true, "old": false} {
		_, _, errs := call(t, "run", "--inside", "a0", "--outside", "a1", "--name", name)
		if strings.Contains(errs, `instance "old" was killed on these ports with 1 encrypted connection`) != told || strings.Contains(errs, "elsewhere") {
			t.Errorf("instance %q says %q", name, errs)
		}
	}
}

func TestRunLeavesNoKeysOfAKilledDataPlane(t *testing.T) {
	g := startGateway(t)
	g.awaitReady()
	segment := leaveConnection(t, g.in, "eth0")
	if err := syscall.Kill(g.pid(instance.DataPlane), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Wait(); err == nil {
		t.Error("run ends with status 0")
	}
	checkLeft(t, segment)
}

// What its hosts would go on to say is plaintext that was to be encrypted: whoever ends a gateway leaves the next one what it needs to know.
func TestConnectionsOfAKilledDataPlaneAreLeftToTheNext(t *testing.T) {
	t.Run("by one that hangs when it is to end", func(t *testing.T) {
		g := startGateway(t)
		g.awaitReady()
		segment := leaveConnection(t, g.in, "eth0")
		if err := syscall.Kill(g.pid(instance.DataPlane), syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time it is killed
			if err := g.cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
		}
		if err := g.cmd.Wait(); err == nil {
			t.Error("run ends with status 0")
		}
		checkLeft(t, segment)
	})
	t.Run("by one that could not begin", func(t *testing.T) {
		t.Setenv(envFail, string(instance.DataPlane))
		g := newGateway(t)
		segment := leaveConnection(t, g.in, "eth0")
		g.start()
		if err := g.cmd.Wait(); err == nil {
			t.Error("run ends with status 0")
		}
		checkLeft(t, segment)
	})
	t.Run("by stop", func(t *testing.T) {
		t.Setenv(instance.EnvRunDir, t.TempDir())
		in, err := instance.Open("gw")
		if err != nil {
			t.Fatal(err)
		}
		segment := leaveConnection(t, in, "eth0")
		status, out, errs := call(t, "stop", "--name", "gw")
		if status != exitOK || !strings.Contains(out, "it was killed with 1 encrypted connection,") {
			t.Errorf("status %d, output %q, error %q", status, out, errs)
		}
		checkLeft(t, segment)
		if status, out, errs := call(t, "stop", "--name", "gw", "--forget"); status != exitOK || !strings.Contains(out, "is removed") {
			t.Errorf("status %d, output %q, error %q", status, out, errs)
		}
		for _, path := range []string{segment, in.Dir()} {
			if _, err := os.Lstat(path); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", path, err)
			}
		}
	})
	t.Run("by stop, of a host, whose sockets it aborts", func(t *testing.T) {
		t.Setenv(instance.EnvRunDir, t.TempDir())
		in, err := instance.Open("host")
		if err != nil {
			t.Fatal(err)
		}
		segment := leaveConnection(t, in, "lchost-in0")
		if status, out, errs := call(t, "stop", "--name", "host"); status != exitOK || !strings.Contains(out, "is removed") {
			t.Errorf("status %d, output %q, error %q", status, out, errs)
		}
		if _, err := os.Lstat(segment); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", segment, err)
		}
	})
}
