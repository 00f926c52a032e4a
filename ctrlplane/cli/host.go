package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/vishvananda/netlink"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/hostmode"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/pulse"
	"linecrypt/flowtable"
)

var hostCommand = command{
	name:    "host",
	args:    "--interface IF... [--container] [--open] [--name NAME] [--config FILE] [--set KEY=VALUE]...",
	summary: "protect the TCP of this machine, in the foreground",
	details: `Runs a gateway for the TCP that this machine itself has on its interface IF, until SIGINT or SIGTERM, and prints "ready" on standard output
once it is protected. Addresses, routes and names stay as they are. Other protocols, TCP that is only forwarded, the loopback
interface, and connections that are open already are left alone. --interface may be repeated. With --container each IF is the host's end of a
container's veth pair, and the container is protected.

When it ends, however that happens, the network is as before within a second, and encrypted connections are reset. Where policy is "require",
for all connections or by a rule, the interface remains closed for new TCP instead: until host runs again, or "linecrypt host --interface IF --open".

The package has it as a service: systemctl enable --now linecrypt-host@IF.

It needs root, or CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and CAP_PERFMON, and Linux 6.6 or newer.`,
	define: defineHost,
}

func defineHost(a *App, fs *flag.FlagSet) func() error {
	flags := config.AddFlagsWithoutPorts(fs)
	var o hostmode.Options
	fs.Func("interface", "protect this interface, `IF`; may be repeated", func(s string) error {
		o.Interfaces = append(o.Interfaces, s)
		return nil
	})
	fs.BoolVar(&o.Container, "container", false, "the interfaces are the host's ends of containers' veth pairs: protect the containers")
	open := fs.Bool("open", false, "let TCP pass again that an earlier one left closed, once connections that it had encrypted are over, and do nothing else; refused while one runs")
	return func() error {
		if len(o.Interfaces) == 0 {
			return &usageError{"host", errors.New("--interface is missing")}
		}
		c, err := flags.Load()
		if err != nil {
			return &configurationError{err}
		}
		if *open {
			return a.openHost(c.Name, o.Interfaces)
		}
		if c.IsSet("inside") || c.IsSet("outside") {
			return &usageError{"host", errors.New("it makes its own ports: leave inside and outside away")}
		}
		o.Guard, o.Name, o.Connections = requires(c), c.Name, guardedConnections(c)
		o.Log = slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: c.Log.Level})).With("process", "host")
		return a.host(c, o, flags)
	}
}

// requires reports whether some connections may not pass in the clear.
func requires(c *config.Config) bool {
	return c.Policy == flowtable.Require || slices.ContainsFunc(c.Rules, func(r config.Rule) bool { return r.Policy == flowtable.Require })
}

// maxGuarded bounds the kernel's memory for guarded connections, of which each has about 100 bytes.
const maxGuarded = 1 << 18

// guardedConnections is how many encrypted ones there may be.
func guardedConnections(c *config.Config) int {
	return min(max(c.Flows.Max, 1024)*max(c.Workers.Count, len(c.Workers.Cores), 1), maxGuarded)
}

func (a *App) openHost(instanceName string, names []string) error {
	for _, name := range names {
		if err := checkUnprotected(name); err != nil {
			return err
		}
	}
	var errs []error
	if left := instance.FindLeft(instanceName); left != nil {
		_, err := hostmode.AbortOrphans(left)
		errs = append(errs, err)
	}
	for _, name := range names {
		errs = append(errs, a.openInterface(name))
	}
	return errors.Join(errs...)
}

// openInterface takes the guard off an interface, and says whether there was one.
func (a *App) openInterface(name string) error {
	if _, err := netlink.LinkByName(name); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	was, err := hostmode.Open(name)
	switch {
	case err != nil:
		return err
	case was:
		fmt.Fprintf(a.Stdout, "%s is open\n", name)
	default:
		fmt.Fprintf(a.Stdout, "%s was not closed\n", name)
	}
	return nil
}

// checkUnprotected returns an error where a gateway runs on the interface: it needs its guard for when it is killed.
func checkUnprotected(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return nil // openInterface says so, once what the host left is dealt with
	}
	// A guardian that has just become the last one is about to end.
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if err = instance.CheckInterface(l.Attrs().Index, name); !errors.Is(err, instance.ErrRunning) || time.Since(begin) > time.Second {
			break
		}
	}
	if held := (*instance.DeviceError)(nil); errors.As(err, &held) && held.Instance != "" {
		return fmt.Errorf("%w: `linecrypt stop --name %s` ends it first", err, held.Instance)
	}
	return err
}

func (a *App) host(c *config.Config, o hostmode.Options, flags *config.Flags) error {
	if err := hostmode.Fit(o); err != nil {
		return err
	}
	in, lock, err := beginSupervising(c.Name)
	if err != nil {
		return err
	}
	defer lock.Release()
	release, err := claimInterfaces(in, o.Interfaces)
	defer release()
	if err != nil {
		return err
	}
	s, err := a.supervisor(in, nil)
	if err != nil {
		return err
	}
	if _, err := hostmode.AbortOrphans(in); err != nil {
		return err
	}
	h, err := hostmode.New(o)
	if err != nil {
		return err
	}
	guardian, err := a.startGuardian(o)
	if err != nil {
		return errors.Join(err, h.Close())
	}
	return errors.Join(s.runHost(h, o, append(flags.Args(), "--name", c.Name)), h.Close(), guardian.dismiss())
}

// hostPatience is how long a host's data plane may stand still, with the machine's own connections in its hands: what follows its end is done
// within the second.
const hostPatience = 500 * time.Millisecond

// runHost runs the gateway of a host.
func (s *supervisor) runHost(h *hostmode.Host, o hostmode.Options, args []string) error {
	inside, outside := h.Ports()
	s.args = append(args, "--inside", inside, "--outside", outside)
	keep, err := h.Files()
	defer func() {
		for _, f := range keep {
			f.Close()
		}
	}()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s.hooks = hooks{keep: keep, ready: func() (err error) {
		if s.still, err = pulse.Watch(ctx, s.in, hostPatience); err != nil {
			return err
		}
		return h.Protect()
	}, ended: func() error {
		stop()
		// Before anything leaves in the clear, what was encrypted is to be over.
		others, err := hostmode.AbortOrphans(s.in)
		if _, left := s.in.LeftSegment(); left && (o.Container || others) {
			h.LeaveGuard() // containers' connections are in namespaces of their own, and are reset by the next data plane
		}
		for _, f := range keep {
			f.Close()
		}
		keep = nil
		return errors.Join(err, h.Release())
	}}
	return s.runUntilSignal()
}

func claimInterfaces(in *instance.Instance, names []string) (release func(), err error) {
	var claims []*instance.Device
	release = func() {
		for _, d := range claims {
			d.Release()
		}
	}
	for _, name := range names {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return release, fmt.Errorf("interface %s: %w", name, err)
		}
		d, err := in.ClaimInterface(l.Attrs().Index, name)
		if err != nil {
			return release, err
		}
		claims = append(claims, d)
	}
	return release, nil
}
