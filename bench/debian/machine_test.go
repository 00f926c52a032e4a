package debian

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/testenv"
)

// envFolder names the folder in which `make test-deb` has left a system (root/root) and two versions of the package (old, new).
const envFolder = "LINECRYPT_TEST_DEB"

// machine is a container that systemd runs in, with a network of its own. What is installed in it goes with it.
type machine struct {
	t   *testing.T
	pid string // of its first process
}

func boot(t *testing.T, folder string) *machine {
	t.Helper()
	cmd := exec.Command("systemd-nspawn", "--quiet", "--directory="+folder+"/root/root", "--volatile=overlay", "--boot", "--register=no", "--keep-unit",
		"--private-network", "--link-journal=no", "--bind-ro=/sys/module", "--capability=all", "--system-call-filter=bpf", "--bind-ro="+folder+"/old:/packages/old", "--bind-ro="+folder+"/new:/packages/new", "--machine="+testenv.Name())
	log, err := os.Create(filepath.Join(t.TempDir(), "boot.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	// The signal comes when the thread ends that started the machine. One that goes to a namespace ends with its goroutine, so this one
	// does nothing else.
	started, over := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- cmd.Start()
		<-over
	}()
	if err := <-started; err != nil {
		close(over)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		close(over)
		log.Close()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("the machine's console:\n%s", text)
		}
	})
	m := &machine{t: t}
	await(t, "the machine is up", func() bool {
		out, _ := exec.Command("pgrep", "-P", itoa(cmd.Process.Pid)).Output()
		m.pid = strings.TrimSpace(string(out))
		if m.pid == "" {
			return false
		}
		state, _ := m.try("systemctl", "is-system-running")
		return strings.HasPrefix(state, "running") || strings.HasPrefix(state, "degraded")
	})
	return m
}

// command prepares a command in the machine.
func (m *machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"-t", m.pid, "-a"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	return cmd
}

func (m *machine) try(args ...string) (string, error) {
	out, err := m.command(args...).CombinedOutput()
	return string(out), err
}

// run returns what a command prints that succeeds.
func (m *machine) run(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// fails returns what a command prints that does not succeed.
func (m *machine) fails(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err == nil {
		m.t.Fatalf("%s: succeeds\n%s", strings.Join(args, " "), out)
	}
	return out
}

func (m *machine) write(path, text string) {
	m.t.Helper()
	cmd := m.command("sh", "-c", "cat >"+path)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("%s: %v %s", path, err, out)
	}
}

// property returns one of a unit.
func (m *machine) property(unit, name string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", "--value", "-p", name, unit))
}

// veth joins a namespace of the test's with the machine, which calls its end dev.
func (m *machine) veth(ns, dev, address string) {
	m.t.Helper()
	a, b := testenv.Veth(m.t, ns, "")
	run(m.t, "ip", "link", "set", b, "netns", m.pid, "name", dev)
	testenv.RunIn(m.t, ns, "ip", "address", "add", address, "dev", a)
	testenv.OffloadsOff(m.t, ns, a)
	m.up(dev)
}

// up takes an interface of the machine up, without what makes super-packets.
func (m *machine) up(dev string) {
	m.t.Helper()
	run(m.t, "nsenter", "-t", m.pid, "-n", "ip", "link", "set", dev, "up")
	run(m.t, "nsenter", "-t", m.pid, "-n", "ethtool", "-K", dev, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
}

// await polls until something holds. A slow machine has a minute for it.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("not within a minute: %s", what)
}
