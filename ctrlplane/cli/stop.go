package cli

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/hostmode"
	"linecrypt/ctrlplane/human"
	"linecrypt/ctrlplane/instance"
)

// stopTimeout is how long `stop` waits: longer than `run` takes to kill a process that does not end by itself.
const stopTimeout = 20 * time.Second

var stopCommand = command{
	name:    "stop",
	args:    "[--forget] [--name NAME]",
	summary: "stop a running gateway",
	details: `Ends a running instance, as SIGTERM to "linecrypt run" does, and returns once it has ended: its encrypted connections are reset.
Where "linecrypt run" is gone, it ends the two processes themselves. It also removes what an instance that was killed has left, its
shared memory among it, and aborts those of this machine's connections that a "linecrypt host" had encrypted. Connections that a
gateway had encrypted when it was killed are reset by its next start: what tells of them stays until then, without keys, unless
--forget is given. What their hosts go on to say may then pass a later gateway in the clear.`,
	define: func(a *App, fs *flag.FlagSet) func() error {
		name := addNameFlag(fs)
		forget := fs.Bool("forget", false, "also remove what tells of connections that were encrypted when a gateway was killed")
		return func() error { return a.stop(*name, *forget, stopTimeout) }
	},
}

func addNameFlag(fs *flag.FlagSet) *string {
	return fs.String("name", "default", "`NAME` of the instance (default \"default\")")
}

func (a *App) stop(name string, forget bool, timeout time.Duration) error {
	in, err := instance.Find(name)
	if errors.Is(err, instance.ErrNotRunning) {
		left := instance.FindLeft(name)
		if left == nil {
			return err
		}
		// Of a host's own connections, what it has left is all that tells which were encrypted.
		if _, err := hostmode.AbortOrphans(left); err != nil {
			return fmt.Errorf("instance %q: what it had left when it was killed stays: %w", name, err)
		}
		return a.clearLeft(left, forget, "did not run", "; what it had left when it was killed is removed")
	}
	if err != nil {
		return err
	}
	if err := terminate(in, timeout); err != nil {
		return fmt.Errorf("instance %q: %w", name, err)
	}
	return a.clearLeft(in, forget, "is stopped", "")
}

// clearLeft takes away what an instance left that does not run, but for connections of a gateway that are still to be reset, and says so.
// Those of a host have been aborted.
func (a *App) clearLeft(in *instance.Instance, forget bool, what, removed string) error {
	s := supervisor{in: in}
	n := 0
	if !forget && !hostmode.LeftByHost(in) {
		n = orphans(in)
	}
	if n == 0 {
		if err := s.remove(); err != nil {
			return err
		}
		fmt.Fprintf(a.Stdout, "instance %q %s%s\n", in.Name(), what, removed)
		return nil
	}
	if err := s.forgetKeys(); err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "instance %q %s; it was killed with %s, which its next start resets: addresses stay until then (--forget removes them)\n",
		in.Name(), what, human.Plural(n, "encrypted connection"))
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
