package topology

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// netnsDir is where iproute2 keeps the names of network namespaces.
const netnsDir = "/run/netns"

// NetNS is the name of a network namespace.
type NetNS string

// Do runs f on a thread inside the namespace. Sockets that f opens stay in it; goroutines that f starts do not run there.
func (ns NetNS) Do(f func() error) error {
	done := make(chan error, 1)
	// A goroutine of its own, because one that cannot leave the namespace again has to end.
	go func() { done <- ns.enter(f) }()
	return <-done
}

func (ns NetNS) enter(f func() error) error {
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", ns, err)
	}
	defer unix.Close(home)
	there, err := unix.Open(filepath.Join(netnsDir, string(ns)), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", ns, err)
	}
	defer unix.Close(there)
	if err := unix.Setns(there, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace %s: %w", ns, err)
	}
	err = f()
	if unix.Setns(home, unix.CLONE_NEWNET) == nil {
		// Else the thread stays locked and ends with the goroutine.
		runtime.UnlockOSThread()
	}
	return err
}

// Dial connects a TCP socket of the namespace to addr, which is a literal address and port.
func (ns NetNS) Dial(ctx context.Context, addr string) (*net.TCPConn, error) {
	var conn net.Conn
	err := ns.Do(func() (err error) {
		d := net.Dialer{KeepAlive: -1}
		d.SetMultipathTCP(false)
		conn, err = d.DialContext(ctx, "tcp", addr)
		return err
	})
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// Listen returns a TCP listener of the namespace; addr is a literal address and port.
func (ns NetNS) Listen(addr string) (*net.TCPListener, error) {
	var l net.Listener
	err := ns.Do(func() (err error) {
		cfg := net.ListenConfig{KeepAlive: -1}
		cfg.SetMultipathTCP(false)
		l, err = cfg.Listen(context.Background(), "tcp", addr)
		return err
	})
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// Command prepares a program that runs inside the namespace, in a process group of its own, and dies with this process.
func (ns NetNS) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", string(ns), name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// Run runs a program inside the namespace and returns its output, which an error quotes.
func (ns NetNS) Run(name string, args ...string) (string, error) {
	return output(ns.Command(context.Background(), name, args...))
}

func output(cmd *exec.Cmd) (string, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

func run(name string, args ...string) error {
	_, err := output(exec.Command(name, args...))
	return err
}

func (ns NetNS) add() error {
	if err := run("ip", "netns", "add", string(ns)); err != nil {
		return err
	}
	// Addresses are usable at once, and nobody looks for routers.
	for _, kind := range []string{"all", "default"} {
		for key, value := range map[string]string{"accept_dad": "0", "router_solicitations": "0", "accept_ra": "0"} {
			if err := ns.sysctl("net/ipv6/conf/"+kind+"/"+key, value); err != nil {
				return err
			}
		}
	}
	_, err := ns.Run("ip", "link", "set", "lo", "up")
	return err
}

// quiet keeps the kernel from speaking IPv6 of its own accord.
func (ns NetNS) quiet() error {
	if err := ns.sysctl("net/ipv6/conf/all/disable_ipv6", "1"); err != nil {
		return err
	}
	return ns.sysctl("net/ipv6/conf/default/disable_ipv6", "1")
}

// sysctl sets a kernel parameter of the namespace; one that this kernel does not have is passed over.
func (ns NetNS) sysctl(key, value string) error {
	return ns.Do(func() error {
		err := os.WriteFile(filepath.Join("/proc/sys", key), []byte(value), 0)
		if os.IsNotExist(err) {
			return nil
		}
		return err
	})
}

// remove kills what still runs in the namespace and deletes it.
func (ns NetNS) remove() error {
	if _, err := os.Stat(filepath.Join(netnsDir, string(ns))); os.IsNotExist(err) {
		return nil
	}
	if pids, err := output(exec.Command("ip", "netns", "pids", string(ns))); err == nil {
		for pid := range strings.FieldsSeq(pids) {
			kill(pid)
		}
	}
	return run("ip", "netns", "del", string(ns))
}

func kill(pid string) {
	var n int
	if _, err := fmt.Sscan(pid, &n); err == nil && n > 1 && n != os.Getpid() {
		_ = syscall.Kill(n, syscall.SIGKILL)
	}
}
