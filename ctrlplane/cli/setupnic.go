package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"text/tabwriter"

	"linecrypt/ctrlplane/setup"
)

var setupNICCommand = command{
	name:    "setup nic",
	args:    "[PCI [--driver DRIVER] [--unsafe-no-iommu] [--persistent] [--restore] [--yes]]",
	summary: "give a NIC to DPDK, or take it back (as root)",
	details: `Gives a NIC, by its PCI address or the name of its interface, to a driver that DPDK works through: what dpdk-devbind does. It says what it
would change, and changes it with --yes. The NIC through which the default route leads or somebody is logged in is refused, also where
it is below a bridge, a bond or a VLAN. Without a NIC it lists all. Where the service of the Debian package is installed it may use the NIC.`,
	takes: 1,
	fewer: true,
	define: func(a *App, fs *flag.FlagSet) func() error {
		b := setup.Binding{}
		fs.StringVar(&b.Driver, "driver", setup.Drivers()[0], "the `DRIVER`: "+strings.Join(setup.Drivers(), ", "))
		fs.BoolVar(&b.NoIOMMU, "unsafe-no-iommu", false, "use vfio-pci although there is no IOMMU: the device can then write anywhere in memory")
		fs.BoolVar(&b.Persistent, "persistent", false, "do it again at each boot")
		restore := fs.Bool("restore", false, "give the NIC back to the kernel's driver, now and at each boot")
		yes := fs.Bool("yes", false, "make the changes; without it they are only listed")
		return func() error {
			s := machine()
			if fs.NArg() == 0 {
				return a.listNICs(s)
			}
			if *restore && (b.Persistent || b.NoIOMMU || given(fs, "driver")) {
				return &usageError{"setup nic", errors.New("--restore takes no other flag but --yes")}
			}
			n, err := s.Find(fs.Arg(0))
			if err != nil {
				return err
			}
			var steps []setup.Step
			if *restore {
				steps, err = s.Restore(n)
			} else {
				if b.Program, err = os.Executable(); err == nil {
					steps, err = s.Bind(n, b)
				}
			}
			if err != nil {
				return err
			}
			return a.apply(steps, *yes)
		}
	},
}

// machine is the one that this program runs on.
func machine() *setup.System {
	return &setup.System{Root: "/", Peer: setup.SSHPeer("/", os.Getpid()), Run: func(name string, args ...string) error {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
		return nil
	}}
}

// apply says what the steps change, and makes the changes where yes is set.
func (a *App) apply(steps []setup.Step, yes bool) error {
	if len(steps) == 0 {
		fmt.Fprintln(a.Stdout, "nothing to do: it is so already")
		return nil
	}
	sayAll(a.Stdout, steps)
	if !yes {
		fmt.Fprintln(a.Stdout, "nothing is changed yet; with --yes it is")
		return nil
	}
	if err := setup.Apply(steps); err != nil {
		if errors.Is(err, os.ErrPermission) {
			return fmt.Errorf("%w (run it as root)", err)
		}
		return err
	}
	fmt.Fprintln(a.Stdout, "done")
	return nil
}

func sayAll(out io.Writer, steps []setup.Step) {
	for _, step := range steps {
		fmt.Fprintln(out, "- "+step.Say)
	}
}

func (a *App) listNICs(s *setup.System) error {
	nics, err := s.NICs()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "PCI\tID\tDRIVER\tINTERFACE\tIOMMU GROUP\tNOTE")
	for _, n := range nics {
		note := n.Needed
		if note != "" {
			note = "stays: " + note
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", n.Address, n.ID, orNone(n.Driver), orNone(strings.Join(n.Interfaces, ", ")), orNone(n.Group), note)
	}
	return w.Flush()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
