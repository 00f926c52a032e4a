package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/server"
)

// The test binary plays all three programs: the names of links to it say which.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case dataPlaneBinary:
		os.Exit(playChild(instance.DataPlane))
	case controlPlaneBinary:
		os.Exit(playChild(instance.ControlPlane))
	case realControlPlane:
		os.Exit(server.Execute(os.Args[1:], os.Stderr))
	case "linecrypt":
		a := App{Stdout: os.Stdout, Stderr: os.Stderr, BinDir: filepath.Dir(os.Args[0])}
		os.Exit(a.Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// playChild locks its instance, says who it is and what it was started with, reports that it is ready, and waits for
// SIGTERM. EnvFail makes one of the two fail at once.
func playChild(p instance.Process) int {
	if os.Getenv(envFail) == string(p) {
		fmt.Fprintln(os.Stderr, "f.yaml:3: inside: no such interface")
		return 1
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	in, err := instance.Open("default")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if _, err := in.Lock(p); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintf(os.Stderr, "%s %d %s\n", string(p), os.Getpid(), strings.Join(os.Args[1:], " "))
	fd, _ := strconv.Atoi(os.Args[len(os.Args)-1])
	fmt.Fprintln(os.NewFile(uintptr(fd), "ready"), "ready")
	<-term
	fmt.Fprintf(os.Stderr, "%s stopped\n", string(p))
	return 0
}

// realControlPlane is the name under which the test binary is the control plane itself.
const realControlPlane = "linecrypt-ctrlplane-itself"

const envFail = "LINECRYPT_TEST_FAIL"

// gateway is a `linecrypt run` under test.
type gateway struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout io.ReadCloser
	stderr io.ReadCloser
	lines  chan string
	in     *instance.Instance
}

func startGateway(t *testing.T, args ...string) *gateway {
	t.Helper()
	g := newGateway(t, args...)
	g.start()
	return g
}

// newGateway is startGateway for one that start starts later.
func newGateway(t *testing.T, args ...string) *gateway {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"linecrypt", dataPlaneBinary, controlPlaneBinary} {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	base, err := os.MkdirTemp("/tmp", "lc-cli-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	t.Setenv(instance.EnvRunDir, base)
	g := &gateway{t: t, lines: make(chan string, 100)}
	g.cmd = exec.Command(filepath.Join(dir, "linecrypt"), append([]string{"run", "--inside", "a0", "--outside", "a1"}, args...)...)
	if g.stdout, err = g.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if g.stderr, err = g.cmd.StderrPipe(); err != nil {
		t.Fatal(err)
	}
	if g.in, err = instance.Open("default"); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gateway) start() {
	g.t.Helper()
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { g.cmd.Process.Kill() })
	go func() {
		for sc := bufio.NewScanner(g.stderr); sc.Scan(); {
			g.lines <- sc.Text()
		}
		close(g.lines)
	}()
}

// await returns the next line of standard error that begins with prefix.
func (g *gateway) await(prefix string) string {
	g.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case line, ok := <-g.lines:
			if strings.HasPrefix(line, prefix) {
				return line
			}
			if !ok {
				g.t.Fatalf("standard error ended before a line %q", prefix)
			}
		case <-deadline:
			g.t.Fatalf("no line %q", prefix)
		}
	}
}

func (g *gateway) awaitReady() {
	g.t.Helper()
	line, err := bufio.NewReader(g.stdout).ReadString('\n')
	if err != nil || line != "ready\n" {
		g.t.Fatalf("standard output %q, error %v; want ready", line, err)
	}
}

// pid returns the number of a running process of the instance.
func (g *gateway) pid(p instance.Process) int {
	g.t.Helper()
	for range 200 {
		if pid, ok := g.in.Running(p); ok && pid != 0 {
			return pid
		}
		time.Sleep(10 * time.Millisecond)
	}
	g.t.Fatalf("the %v does not run", p)
	return 0
}

func (g *gateway) awaitGone(p instance.Process) {
	g.t.Helper()
	for range 500 {
		if _, ok := g.in.Running(p); !ok {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	g.t.Fatalf("the %v still runs", p)
}

func TestRunStartsBothProcessesAndStopsBothOnSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			g := startGateway(t, "--set", "policy=require")
			g.awaitReady()
			pid := g.pid(instance.DataPlane)
			want := fmt.Sprintf("dataplane %d --inside a0 --outside a1 --set policy=require --ready-fd 3", pid)
			if line := g.await("dataplane "); line != want {
				t.Errorf("started as %q, want %q", line, want)
			}
			if err := g.cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			g.await("dataplane stopped")
			g.await("ctrlplane stopped")
			if err := g.cmd.Wait(); err != nil {
				t.Fatalf("run: %v", err)
			}
			if _, err := os.Stat(g.in.Dir()); !os.IsNotExist(err) {
				t.Errorf("the instance's folder is still there: %v", err)
			}
		})
	}
}

func TestKilledControlPlaneIsStartedAgain(t *testing.T) {
	g := startGateway(t)
	g.awaitReady()
	data, ctrl := g.pid(instance.DataPlane), g.pid(instance.ControlPlane)
	if err := syscall.Kill(ctrl, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	g.await("linecrypt: the control plane ended (signal: killed)")
	if line := g.await("ctrlplane "); line == fmt.Sprintf("ctrlplane %d", ctrl) {
		t.Errorf("it is the old one: %s", line)
	}
	if now := g.pid(instance.DataPlane); now != data {
		t.Errorf("the data plane was %d and is %d", data, now)
	}
}

func TestDeadDataPlaneEndsTheGateway(t *testing.T) {
	g := startGateway(t)
	g.awaitReady()
	if err := syscall.Kill(g.pid(instance.DataPlane), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	g.await("linecrypt: the data plane ended: signal: killed")
	if err := g.cmd.Wait(); err == nil {
		t.Fatal("run ended with status 0")
	}
	g.awaitGone(instance.ControlPlane)
}

func TestChildrenDieWithAKilledSupervisor(t *testing.T) {
	g := startGateway(t)
	g.awaitReady()
	if err := g.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	g.awaitGone(instance.DataPlane)
	g.awaitGone(instance.ControlPlane)
}

func TestProcessThatRefusesItsConfigurationEndsTheGateway(t *testing.T) {
	for _, p := range []instance.Process{instance.DataPlane, instance.ControlPlane} {
		t.Run(string(p), func(t *testing.T) {
			t.Setenv(envFail, string(p))
			g := startGateway(t)
			g.await("f.yaml:3: inside: no such interface")
			g.await("linecrypt: the " + p.String() + " ended")
			if err := g.cmd.Wait(); err == nil {
				t.Fatal("run ended with status 0")
			}
		})
	}
}

func TestControlPlaneStartedByHandIsLeftAlone(t *testing.T) {
	g := startGateway(t)
	g.awaitReady()
	if err := syscall.Kill(g.pid(instance.ControlPlane), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	g.awaitGone(instance.ControlPlane)
	l, err := g.in.Lock(instance.ControlPlane)
	if err != nil {
		t.Fatal(err)
	}
	g.await(`linecrypt: a control plane of instance "default" runs already`)
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	for g.pid(instance.ControlPlane) == os.Getpid() {
		time.Sleep(10 * time.Millisecond)
	}
	g.await("ctrlplane ")
}

func TestSecondGatewayOfOneNameIsRefused(t *testing.T) {
	g := startGateway(t)
	g.awaitReady()
	second := exec.Command(g.cmd.Path, "run", "--inside", "b0", "--outside", "b1")
	out, err := second.CombinedOutput()
	want := fmt.Sprintf("linecrypt: instance \"default\" is already running (data plane, pid %d)\n", g.pid(instance.DataPlane))
	if err == nil || string(out) != want {
		t.Fatalf("output %q, error %v; want %q", out, err, want)
	}
}
