// Command demo is what `make demo` runs: it puts two gateways between a client and a server, each in a network namespace of
// its own with the kernel's TCP, sends real traffic through them, and checks and prints what came of it. It ends with
// status 0 only if all of it was as it should be, and leaves nothing behind; with --keep it leaves the topology up.
//
// The work is done by a second process, which for a user without root runs in a user namespace, and which stays as the
// owner of a topology that is kept. The first one only waits for it.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"linecrypt/bench/topology"
)

// innerEnv marks the second process; its descriptor 3 leads to the first.
const innerEnv = "LINECRYPT_DEMO_INNER"

func main() {
	keep := flag.Bool("keep", false, "leave the topology up")
	ports := flag.String("ports", "auto", "`KIND` of ports: auto, net_af_xdp, net_af_packet, xdp or packet")
	host := flag.Bool("host", false, "have client and server protect themselves, without gateways between them")
	workers := flag.Int("workers", 1, "`NUMBER` of workers of each gateway")
	flag.Parse()
	var err error
	switch {
	case flag.NArg() != 0:
		err = fmt.Errorf("unexpected argument %q", flag.Arg(0))
	case os.Getenv(innerEnv) != "":
		err = inner(*ports, *workers, *keep, *host)
	default:
		err = front()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// front starts the second process and waits until it ends or says that it stays.
func front() error {
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer ours.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), innerEnv+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{theirs}
	// A process group of its own keeps the terminal's SIGINT from all that the inner process starts.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr = topology.UserNamespace()
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	if err := cmd.Start(); err != nil {
		return explainStart(err)
	}
	theirs.Close()
	go func() {
		for range signals {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
	}()
	if line, _ := bufio.NewReader(ours).ReadString('\n'); line == "kept\n" {
		return nil
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return errors.New("failed: see above")
	}
	return err
}

func explainStart(err error) error {
	if os.Geteuid() == 0 {
		return err
	}
	return fmt.Errorf("make a user namespace: %w (some systems forbid it, see sysctl kernel.unprivileged_userns_clone "+
		"and kernel.apparmor_restrict_unprivileged_userns; as root the demo needs none)", err)
}

func socketPair() (a, b *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "inner"), os.NewFile(uintptr(fds[1]), "front"), nil
}
