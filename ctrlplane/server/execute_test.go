package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
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

// childVariable makes the test binary be the program.
const childVariable = "LINECRYPT_TEST_CTRLPLANE"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(Execute(os.Args[1:], os.Stderr))
	}
	os.Exit(m.Run())
}

// program is linecrypt-ctrlplane as a process.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	ready  *bufio.Reader
	stderr bytes.Buffer
	ended  chan error
}

// start starts the program with a run directory of its own, named by dir.
func start(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, ready: bufio.NewReader(r), ended: make(chan error, 1)}
	p.cmd = exec.Command(exe, append(args, "--name", "gw", "--ready-fd", "3", "--wait", "5s")...)
	p.cmd.Env = append(os.Environ(), childVariable+"=1", instance.EnvRunDir+"="+dir)
	p.cmd.ExtraFiles = []*os.File{w}
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		r.Close()
	})
	return p
}

func (p *program) awaitReady() {
	p.t.Helper()
	if line, err := p.ready.ReadString('\n'); err != nil || line != "ready\n" {
		p.t.Fatalf("%q, %v; %s", line, err, p.wait())
	}
}

// wait returns what the program wrote once it has ended.
func (p *program) wait() string {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatal("does not end")
	}
	return p.stderr.String()
}

func (p *program) end(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	out := p.wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("%v: exit status %d: %s", s, code, out)
	}
}

// newInstance makes the folder of instance gw and a data plane in it.
func newInstance(t *testing.T) (string, *instance.Instance, *plane) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv(instance.EnvRunDir, dir)
	in, err := instance.Open("gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Remove() })
	segDir, err := in.SegmentDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir, in, newPlane(t, segDir, 1)
}

func (p *plane) mustOffer() {
	p.t.Helper()
	p.call(0, shm.Request{Kind: shm.ActiveOpen}, shm.Offer)
}

func TestProcessServesReloadsAndEndsCleanly(t *testing.T) {
	dir, in, data := newInstance(t)
	file := filepath.Join(dir, "gw.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("policy: opportunistic\n")
	p := start(t, dir, "--config", file, "--set", "metrics.listen=off", "--inside", "in0", "--outside", "out0")
	p.awaitReady()
	data.mustOffer()

	st, err := os.Stat(in.ControlSocket())
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("control socket: %v, %v", st, err)
	}
	status := func() (s Status) {
		c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", in.ControlSocket())
		}}}
		r, err := c.Get("http://gateway/status")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := status(); s.PID != p.cmd.Process.Pid || s.Policy != "opportunistic" {
		t.Errorf("status %+v", s)
	}

	second := start(t, dir)
	if out := second.wait(); second.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out, "already running") {
		t.Errorf("a second one: status %d, %s", second.cmd.ProcessState.ExitCode(), out)
	}

	write("policy: require\n")
	_ = p.cmd.Process.Signal(syscall.SIGHUP)
	eventually(t, "the new policy", func() bool { return data.seg.Policy() == flowtable.Require })
	write("policy: nonsense\n")
	_ = p.cmd.Process.Signal(syscall.SIGHUP)
	time.Sleep(50 * time.Millisecond)
	if got := data.seg.Policy(); got != flowtable.Require {
		t.Errorf("policy %v after a bad file", got)
	}
	data.mustOffer()

	p.end(syscall.SIGTERM)
	if !strings.Contains(p.stderr.String(), "gw.yaml:1") {
		t.Errorf("the log does not name what is wrong with the file: %s", &p.stderr)
	}
	if _, err := os.Stat(in.ControlSocket()); !os.IsNotExist(err) {
		t.Errorf("the control socket is left: %v", err)
	}
}

func TestKilledProcessIsReplacedByAnother(t *testing.T) {
	dir, _, data := newInstance(t)
	p := start(t, dir, "--set", "metrics.listen=off")
	p.awaitReady()
	data.mustOffer()
	_ = p.cmd.Process.Kill()
	p.wait()
	p = start(t, dir, "--set", "metrics.listen=off")
	p.awaitReady()
	data.mustOffer()
	p.end(syscall.SIGINT)
}

func TestAddressForMetricsThatIsTakenIsFatalOnlyWhereItWasAskedFor(t *testing.T) {
	dir, _, data := newInstance(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := start(t, dir, "--set", "metrics.listen="+l.Addr().String())
	if out := p.wait(); p.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out, "metrics.listen") {
		t.Errorf("status %d: %s", p.cmd.ProcessState.ExitCode(), out)
	}
	// The default address may be free or not on this machine: take it, whoever has it.
	if l, err := net.Listen("tcp", "127.0.0.1:9469"); err == nil {
		defer l.Close()
	}
	p = start(t, dir)
	p.awaitReady()
	data.mustOffer()
	p.end(syscall.SIGTERM)
	if !strings.Contains(p.stderr.String(), "without an address for metrics") {
		t.Errorf("no warning: %s", &p.stderr)
	}
}

func TestMetricsAreServedAtTheConfiguredAddress(t *testing.T) {
	dir, _, _ := newInstance(t)
	p := start(t, dir, "--set", "metrics.listen=127.0.0.1:0")
	p.awaitReady()
	p.end(syscall.SIGTERM)
	_, after, ok := strings.Cut(p.stderr.String(), "address=127.0.0.1:")
	if !ok || strings.HasPrefix(after, "0") {
		t.Errorf("the log does not name the address: %s", &p.stderr)
	}
}

func TestCommandLineThatMakesNoSenseIsRefused(t *testing.T) {
	t.Setenv(instance.EnvRunDir, t.TempDir())
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"--help"}, exitOK},
		{[]string{"--nonsense"}, exitUsage},
		{[]string{"extra"}, exitUsage},
		{[]string{"--set", "policy=perhaps"}, exitFailure},
		{[]string{"--config", "/does/not/exist"}, exitFailure},
	} {
		var out bytes.Buffer
		if got := Execute(c.args, io.MultiWriter(&out)); got != c.want || out.Len() == 0 {
			t.Errorf("%q: status %d, %s", c.args, got, &out)
		}
	}
}
