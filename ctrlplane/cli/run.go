package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/human"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/pulse"
	"linecrypt/ctrlplane/shm"
)

// Names of the programs that run starts.
const (
	dataPlaneBinary    = "linecrypt-dataplane"
	controlPlaneBinary = "linecrypt-ctrlplane"
)

var runCommand = command{
	name:    "run",
	args:    "--inside PORT --outside PORT [--name NAME] [--config FILE] [--set KEY=VALUE]...",
	summary: "run a gateway in the foreground",
	details: `Runs the data plane and the control plane of an instance until SIGINT or SIGTERM, and prints "ready" on standard
output once packets flow. A control plane that ends is started again while encrypted connections go on; when the data
plane ends, so does the gateway, and one that hangs for 10 seconds is killed. At SIGHUP the policy is loaded again from
the file, for new connections: see "linecrypt reload".

PORT is a network interface (eth0), a PCI address (0000:03:00.0) or an EAL device string (net_af_xdp0,iface=eth0);
packet: or dpdk: in front names the kind where the name does not. xdp: before an interface takes it by AF_XDP. Flags count more than the file.`,
	starts: true,
	define: defineRun,
}

// beginSupervising opens an instance that does not run, and takes its supervisor's lock.
func beginSupervising(name string) (*instance.Instance, *instance.Lock, error) {
	in, err := instance.Open(name)
	if err != nil {
		return nil, nil, err
	}
	if pid, ok := in.Running(instance.DataPlane); ok {
		return nil, nil, &instance.RunningError{Name: name, Process: instance.DataPlane, PID: pid}
	}
	lock, err := in.Lock(instance.Supervisor)
	return in, lock, err
}

func defineRun(a *App, fs *flag.FlagSet) func() error {
	flags := config.AddFlags(fs)
	return func() error {
		c, err := flags.Load()
		if err != nil {
			return &configurationError{err}
		}
		if err := c.RequirePorts(); err != nil {
			return &usageError{"run", err}
		}
		in, lock, err := beginSupervising(c.Name)
		if err != nil {
			return err
		}
		defer lock.Release()
		a.tellOfOthersLeft(c)
		args := flags.Args()
		if flags.File() != "" {
			args = append(args, "--name", c.Name) // what is started again finds the instance whatever the file says by then
		}
		s, err := a.supervisor(in, args)
		if err != nil {
			return err
		}
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		s.hooks.ready = func() error { return s.watch(ctx) }
		return s.runUntilSignal()
	}
}

// tellOfOthersLeft says where an instance of another name was killed on the same ports: what its hosts go on to say is met here in the clear.
func (a *App) tellOfOthersLeft(c *config.Config) {
	for _, name := range instance.ListLeft() {
		left := instance.FindLeft(name)
		if name == c.Name || left == nil || !hadPorts(left, c.Inside, c.Outside) {
			continue
		}
		if n := orphans(left); n > 0 {
			fmt.Fprintf(a.Stderr, "linecrypt: instance %q was killed on these ports with %s, which only a start under that name resets: "+
				"what their hosts go on to say may pass in the clear; \"linecrypt stop --name %s --forget\" ends this warning\n",
				name, human.Plural(n, "encrypted connection"), name)
		}
	}
}

// hadPorts reports whether what an instance left is of a gateway between these ports.
func hadPorts(left *instance.Instance, inside, outside string) bool {
	for _, dir := range left.LeftSegments() {
		seg, err := shm.Open(dir, left.Name())
		if err != nil {
			continue
		}
		same := seg.Inside() == inside && seg.Outside() == outside
		_ = seg.Close()
		if same {
			return true
		}
	}
	return false
}

// gatewayPatience is how long a gateway's data plane may stand still, during which nothing passes, until it is killed so that the next one can
// take over. It is beyond what a machine that is short of cores or memory does to one that lives.
const gatewayPatience = 10 * time.Second

// watch begins to look whether the data plane stands still. One that cannot be watched is no reason to stop it.
func (s *supervisor) watch(ctx context.Context) error {
	var err error
	if s.still, err = pulse.Watch(ctx, s.in, gatewayPatience); err != nil {
		fmt.Fprintf(s.stderr, "linecrypt: %v; it is not ended if it hangs\n", err)
	}
	return nil
}

func (s *supervisor) runUntilSignal() error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	return s.run(signals)
}

func (a *App) supervisor(in *instance.Instance, args []string) (*supervisor, error) {
	data, err1 := a.find(dataPlaneBinary)
	ctrl, err2 := a.find(controlPlaneBinary)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &supervisor{
		in: in, args: args, stdout: a.Stdout, stderr: a.Stderr,
		dataPath: data, ctrlPath: ctrl, timing: defaultTiming,
	}, nil
}

func (a *App) find(name string) (string, error) {
	if path := filepath.Join(a.BinDir, name); a.BinDir != "" {
		if st, err := os.Stat(path); err == nil && st.Mode()&0o111 != 0 && !st.IsDir() {
			return path, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is neither beside this program (%s) nor in PATH", name, a.BinDir)
	}
	return path, nil
}
