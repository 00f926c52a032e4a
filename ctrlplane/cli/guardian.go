package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"linecrypt/ctrlplane/hostmode"
	"linecrypt/ctrlplane/instance"
)

// guardianCommand is what `linecrypt host` starts beside its two processes. People have no use for it, so it is not among the commands.
var guardianCommand = command{
	name:    "host-guardian",
	args:    "--name NAME --interface IF... [--container] [--guard]",
	summary: "take away what a linecrypt host that is killed leaves on its interfaces",
	starts:  true,
	define:  defineGuardian,
}

func defineGuardian(a *App, fs *flag.FlagSet) func() error {
	var o hostmode.Options
	fs.StringVar(&o.Name, "name", "", "the instance's `NAME`")
	fs.Func("interface", "`IF`; may be repeated", func(s string) error {
		o.Interfaces = append(o.Interfaces, s)
		return nil
	})
	fs.BoolVar(&o.Container, "container", false, "containers are protected")
	fs.BoolVar(&o.Guard, "guard", false, "the interfaces stay closed")
	return func() error {
		names := hostmode.Follow(o.Interfaces)
		// The end of standard input is that of the process that has the other end of it, or of its need for this one.
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
		if n, err := io.Copy(io.Discard, os.Stdin); n > 0 || err != nil {
			return err
		}
		return a.sweep(o, names)
	}
}

// sweep takes away what is left, unless somebody else protects the interfaces by now, or has the instance. Names says how they are named at the
// moment.
func (a *App) sweep(o hostmode.Options, names func() []string) error {
	in, err := instance.Open(o.Name)
	if err != nil {
		return err
	}
	if err := hostmode.AwaitEnd(in); err != nil {
		return err
	}
	lock, err := in.Lock(instance.Supervisor)
	if errors.Is(err, instance.ErrRunning) {
		return nil
	} else if err != nil {
		return err
	}
	defer lock.Release()
	release, err := claimInterfaces(in, names())
	defer release()
	if errors.Is(err, instance.ErrRunning) {
		return nil
	} else if err != nil {
		return err
	}
	s := supervisor{in: in}
	if err := hostmode.Sweep(in, o, names); err != nil {
		return err
	}
	if _, left := in.LeftSegment(); left {
		return s.forgetKeys()
	}
	return s.remove()
}

// guardian is a process that waits for the end of this one.
type guardian struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

func (a *App) startGuardian(o hostmode.Options) (*guardian, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{guardianCommand.name, "--name", o.Name}
	for _, name := range o.Interfaces {
		args = append(args, "--interface", name)
	}
	if o.Container {
		args = append(args, "--container")
	}
	if o.Guard {
		args = append(args, "--guard")
	}
	g := &guardian{cmd: exec.Command(path, args...)}
	g.cmd.Stdout, g.cmd.Stderr = a.Stderr, a.Stderr
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if g.in, err = g.cmd.StdinPipe(); err == nil {
		err = g.cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the guardian: %w", err)
	}
	return g, nil
}

// dismiss ends the guardian, which has nothing to do.
func (g *guardian) dismiss() error {
	_, _ = g.in.Write([]byte{0})
	_ = g.in.Close()
	_ = g.cmd.Wait() // it may have been killed, which is no trouble of whoever ends
	return nil
}
