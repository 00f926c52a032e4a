// Package testenv gives tests the kernel objects they need: network namespaces and veth pairs with names of their own,
// removed when the test ends, however it ends. It is for tests that run as root; NeedRoot sorts out the others.
package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

var serial atomic.Uint32

// NeedRoot skips the test unless it runs as root; with CI=true in the environment it fails it instead, so that nothing is
// left out unseen.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root, and CI=true allows no skip")
	}
	t.Skip("needs root to create network namespaces and packet sockets")
}

// CountsAllocs skips a test that counts allocations where the race detector looks on: what else lies on the stack is then allocated.
func CountsAllocs(t testing.TB) {
	t.Helper()
	if race {
		t.Skip("with -race more is allocated")
	}
}

// Name returns an interface name (at most 15 bytes) that no other test uses.
func Name() string { return fmt.Sprintf("lc%x-%x", os.Getpid(), serial.Add(1)) }

// Run executes a command and fails the test, with the command's output, when it fails; it skips the test where there is no such command, as
// NeedCommand does. It returns the output.
func Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	NeedCommand(t, name)
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// NewNetNS creates a network namespace named `lc-…` with its loopback up.
func NewNetNS(t testing.TB) string {
	t.Helper()
	ns := fmt.Sprintf("lc-%d-%d", os.Getpid(), serial.Add(1))
	Run(t, "ip", "netns", "add", ns)
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
			t.Errorf("delete namespace %s: %v: %s", ns, err, out)
		}
	})
	RunIn(t, ns, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")
	RunIn(t, ns, "ip", "link", "set", "lo", "up")
	return ns
}

// RunIn is Run inside a namespace; ns may be empty for the current one.
func RunIn(t testing.TB, ns, name string, args ...string) string {
	t.Helper()
	if ns == "" {
		return Run(t, name, args...)
	}
	NeedCommand(t, name)
	return Run(t, "ip", append([]string{"netns", "exec", ns, name}, args...)...)
}

// Command prepares a command inside a namespace, for a test that runs it in the background.
func Command(ns, name string, args ...string) *exec.Cmd {
	if ns == "" {
		return exec.Command(name, args...)
	}
	return exec.Command("ip", append([]string{"netns", "exec", ns, name}, args...)...)
}

// InNetNS runs f on a thread inside a namespace. Sockets that f opens stay in it; goroutines that f starts do not run there.
func InNetNS(t testing.TB, ns string, f func()) {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		// The thread is not unlocked, so that it ends with the goroutine and no other gets to run in the namespace.
		runtime.LockOSThread()
		fd, err := unix.Open("/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			_ = unix.Close(fd)
		}
		if err != nil {
			failed <- fmt.Errorf("enter namespace %s: %w", ns, err)
			return
		}
		f()
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

// Veth creates a veth pair with fresh names, one end in each namespace (empty: the current one), both up and without
// IPv6 addresses of their own.
func Veth(t testing.TB, nsA, nsB string) (a, b string) {
	t.Helper()
	a, b = Name(), Name()
	Run(t, "ip", "link", "add", a, "type", "veth", "peer", "name", b)
	t.Cleanup(func() {
		_ = Command(nsA, "ip", "link", "del", a).Run()
	})
	for _, end := range []struct{ ns, dev string }{{nsA, a}, {nsB, b}} {
		if end.ns != "" {
			Run(t, "ip", "link", "set", end.dev, "netns", end.ns)
		}
		RunIn(t, end.ns, "ip", "link", "set", end.dev, "addrgenmode", "none")
		RunIn(t, end.ns, "ip", "link", "set", end.dev, "up")
	}
	return a, b
}

// OffloadsOff turns off what makes a device hand over super-packets or unfinished checksums.
func OffloadsOff(t testing.TB, ns, dev string) {
	t.Helper()
	RunIn(t, ns, "ethtool", "-K", dev, "tx", "off", "tso", "off", "gso", "off", "gro", "off")
}

// Skip skips the test for want of something that the machine lacks; with CI=true it fails it.
func Skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s, and CI=true allows no skip", why)
	}
	t.Skip(why)
}

// NeedCommand skips the test where a program is not installed; bench/scripts/deps installs those that tests need.
func NeedCommand(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		Skip(t, name+" is not installed")
	}
}
