package cli

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/hostmode"
	"linecrypt/ctrlplane/instance"
)

// stopTimeout is how long `stop` waits: longer than `run` takes to kill a process that does not end by itself.
const stopTimeout = 20 * time.Second

var stopCommand = command{
	name:    "stop",
	args:    "[--name NAME]",
	summary: "stop a running gateway",
	details: `Ends a running instance, as SIGTERM to "linecrypt run" does, and returns once it has ended: its encrypted connections are reset.
Where "linecrypt run" is gone, it ends the two processes themselves. It also removes what an instance that was killed has left, its
shared memory among it, and aborts those of this machine's connections that a "linecrypt host" had encrypted.`,
	define: func(a *App, fs *flag.FlagSet) func() error {
		name := addNameFlag(fs)
		return func() error { return a.stop(*name, stopTimeout) }
	},
}

func addNameFlag(fs *flag.FlagSet) *string {
	return fs.String("name", "default", "`NAME` of the instance (default \"default\")")
}

func (a *App) stop(name string, timeout time.Duration) error {
	in, err := instance.Find(name)
	if errors.Is(err, instance.ErrNotRunning) {
		left := instance.FindLeft(name)
		if left == nil {
			return err
		}
		// Of a host's own connections, what it has left is all that tells which were encrypted.
		if err := hostmode.AbortOrphans(left); err != nil {
			return fmt.Errorf("instance %q: what it had left when it was killed stays: %w", name, err)
		}
		if err := left.Remove(); err != nil {
			return err
		}
		fmt.Fprintf(a.Stdout, "instance %q did not run; what it had left when it was killed is removed\n", name)
		return nil
	}
	if err != nil {
		return err
	}
	if err := terminate(in, timeout); err != nil {
		return fmt.Errorf("instance %q: %w", name, err)
	}
	if err := in.Remove(); err != nil && !errors.Is(err, instance.ErrRunning) {
		return err
	}
	fmt.Fprintf(a.Stdout, "instance %q is stopped\n", name)
	return nil
}

// terminate ends the processes of an instance, run before those that it starts, and waits until none is left. Each is asked once: run
// takes a second signal as leave to kill.
func terminate(in *instance.Instance, timeout time.Duration) error {
	asked := map[int]bool{}
	for begin := time.Now(); time.Since(begin) < timeout; time.Sleep(20 * time.Millisecond) {
		p, pid := firstRunning(in)
		if p == "" {
			return nil
		}
		if pid == 0 || asked[pid] {
			continue
		}
		asked[pid] = true
		if err := askToEnd(in, p, pid); err != nil {
			return fmt.Errorf("%v, pid %d: %w", p, pid, err)
		}
	}
	p, pid := firstRunning(in)
	if p == "" {
		return nil
	}
	return fmt.Errorf("%v, pid %d, has not ended within %v of SIGTERM", p, pid, timeout)
}

func firstRunning(in *instance.Instance) (instance.Process, int) {
	for _, p := range []instance.Process{instance.Supervisor, instance.DataPlane, instance.ControlPlane} {
		if pid, ok := in.Running(p); ok {
			return p, pid
		}
	}
	return "", 0
}

// askToEnd sends SIGTERM to the process of that number if it is still the instance's: the number may be another one's by now.
func askToEnd(in *instance.Instance, p instance.Process, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return ignoreGone(err)
	}
	defer unix.Close(fd)
	if now, ok := in.Running(p); !ok || now != pid {
		return nil
	}
	return ignoreGone(unix.PidfdSendSignal(fd, unix.SIGTERM, nil, 0))
}

func ignoreGone(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
