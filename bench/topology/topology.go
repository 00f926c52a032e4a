package topology

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Addresses of client and server, and the names of the devices in the namespaces.
const (
	Client4, Server4 = "10.99.0.1", "10.99.0.2"
	Client6, Server6 = "fd99::1", "fd99::2"

	Host            = "host" // the client's and the server's only device
	Inside, Outside = "inside", "outside"
	WireA, WireB    = "wire-a", "wire-b" // the wire's devices towards gateway A and B
)

// Options say what New builds.
type Options struct {
	// Direct leaves the wire out: the gateways are next to each other, and nothing can be captured.
	Direct bool
	// Cable joins client and server directly: there is no place for gateways, and the two may protect themselves.
	Cable bool
	// Offloads leaves the devices' offloads as the kernel sets them: they hand over super-packets of up to 64 KiB with unfinished
	// checksums. Without it packets are as on a wire of copper: with checksums, and none larger than the MTU.
	Offloads bool
	// MTU of all devices, the kernel's own choice where it is 0.
	MTU int
	// Bin is the folder of the programs; empty means bin below the module's root.
	Bin string
	// Log takes what the gateways write to standard error; nil keeps it for errors only.
	Log io.Writer
}

// Topology is a set of namespaces and the gateways in them.
type Topology struct {
	ID             string
	Client, Server NetNS
	A, B, Wire     NetNS  // the gateways' namespaces, and what is between them; empty where Options leave them out
	Dir            string // for the files of this topology: it is removed with it

	opts     Options
	gateways []*Gateway
}

// New builds the namespaces and their devices, without any gateway. The caller closes it.
func New(opts Options) (*Topology, error) {
	id, err := newID()
	if err != nil {
		return nil, fmt.Errorf("topology: %w", err)
	}
	t := &Topology{ID: id, opts: opts, Client: NetNS(id + "-client"), A: NetNS(id + "-a"), Wire: NetNS(id + "-wire"),
		B: NetNS(id + "-b"), Server: NetNS(id + "-server")}
	if opts.Direct || opts.Cable {
		t.Wire = ""
	}
	if opts.Cable {
		t.A, t.B = "", ""
	}
	if t.opts.Bin == "" {
		if t.opts.Bin, err = binFolder(); err != nil {
			return nil, err
		}
	}
	if t.Dir, err = makeDir(id); err == nil {
		err = t.build()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("topology: %w", err), t.Close())
	}
	return t, nil
}

// makeDir makes a folder whose name tells its owner.
func makeDir(id string) (string, error) {
	dir := filepath.Join(os.TempDir(), id)
	return dir, os.Mkdir(dir, 0o700)
}

// binFolder looks for the module's root from the working folder upwards.
func binFolder() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "bin"), nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("the working folder is not in the module: no go.mod found")
		}
	}
}

func (t *Topology) namespaces() []NetNS { return present(t.Client, t.A, t.Wire, t.B, t.Server) }

func present(all ...NetNS) []NetNS {
	return slices.DeleteFunc(all, func(ns NetNS) bool { return ns == "" })
}

func (t *Topology) build() error {
	for _, ns := range t.namespaces() {
		if err := ns.add(); err != nil {
			return err
		}
	}
	for _, ns := range present(t.A, t.B, t.Wire) {
		if err := ns.quiet(); err != nil {
			return err
		}
	}
	for _, v := range t.veths() {
		if err := v.add(t.opts); err != nil {
			return err
		}
	}
	if t.Wire != "" {
		if err := bridge(t.Wire, WireA, WireB); err != nil {
			return err
		}
	}
	for _, a := range []struct {
		ns   NetNS
		addr []string
	}{{t.Client, []string{Client4 + "/24", Client6 + "/64"}}, {t.Server, []string{Server4 + "/24", Server6 + "/64"}}} {
		for _, addr := range a.addr {
			args := []string{"addr", "add", addr, "dev", Host}
			if strings.Contains(addr, ":") {
				args = append(args, "nodad") // else it cannot be bound to at once
			}
			if _, err := a.ns.Run("ip", args...); err != nil {
				return err
			}
		}
	}
	return nil
}

// veth is a pair of devices that are each other's far end.
type veth struct {
	ns1  NetNS
	dev1 string
	ns2  NetNS
	dev2 string
}

func (t *Topology) veths() []veth {
	if t.A == "" {
		return []veth{{t.Client, Host, t.Server, Host}}
	}
	pairs := []veth{{t.Client, Host, t.A, Inside}, {t.B, Inside, t.Server, Host}}
	if t.Wire == "" {
		return append(pairs, veth{t.A, Outside, t.B, Outside})
	}
	return append(pairs, veth{t.A, Outside, t.Wire, WireA}, veth{t.Wire, WireB, t.B, Outside})
}

func (v veth) add(o Options) error {
	if err := run("ip", "-n", string(v.ns1), "link", "add", v.dev1, "type", "veth",
		"peer", "name", v.dev2, "netns", string(v.ns2)); err != nil {
		return err
	}
	for _, end := range []struct {
		ns  NetNS
		dev string
	}{{v.ns1, v.dev1}, {v.ns2, v.dev2}} {
		if !o.Offloads {
			if _, err := end.ns.Run("ethtool", "-K", end.dev, "tx", "off", "tso", "off", "gso", "off", "gro", "off"); err != nil {
				return err
			}
		}
		args := []string{"link", "set", "dev", end.dev, "txqueuelen", "1000"}
		if o.MTU != 0 {
			args = append(args, "mtu", fmt.Sprint(o.MTU))
		}
		if _, err := end.ns.Run("ip", append(args, "up")...); err != nil {
			return err
		}
	}
	return nil
}

// bridge joins two devices of a namespace.
func bridge(ns NetNS, devs ...string) error {
	const name = "bridge0"
	if _, err := ns.Run("ip", "link", "add", name, "type", "bridge", "mcast_snooping", "0"); err != nil {
		return err
	}
	for _, dev := range append(devs, name) {
		args := []string{"link", "set", "dev", dev, "up"}
		if dev != name {
			args = append(args, "master", name)
		}
		if _, err := ns.Run("ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// Plain puts a bridge in a gateway's place: its host is then on a network without Linecrypt.
func (t *Topology) Plain(side Side) error { return bridge(t.Place(side), Inside, Outside) }

// Unplain takes the bridge out again.
func (t *Topology) Unplain(side Side) error {
	_, err := t.Place(side).Run("ip", "link", "del", "bridge0")
	return err
}

// Place returns the namespace of a gateway.
func (t *Topology) Place(side Side) NetNS {
	if side == SideA {
		return t.A
	}
	return t.B
}

// Close stops the gateways and removes everything. The error joins what went wrong, a gateway's unclean end included.
func (t *Topology) Close() error {
	var errs []error
	for _, g := range t.gateways {
		errs = append(errs, g.Stop())
	}
	for _, ns := range t.namespaces() {
		errs = append(errs, ns.remove())
	}
	if t.Dir != "" {
		errs = append(errs, os.RemoveAll(t.Dir))
	}
	_, err := removeSegments(func(name string) bool { return strings.HasPrefix(name, t.ID+"-") })
	errs = append(errs, err)
	removeRuntime(t.ID)
	return errors.Join(errs...)
}

// dpdkDir is where EAL makes a folder for each file prefix, which dpdk-testpmd leaves.
const dpdkDir = "/var/run/dpdk"

func removeRuntime(id string) {
	left, _ := filepath.Glob(filepath.Join(dpdkDir, id+"-*"))
	for _, path := range left {
		_ = os.RemoveAll(path)
	}
	_ = os.Remove(dpdkDir) // an error means that others use it
}

// Tools says which programs New and the gateways need and cannot find.
func Tools(names ...string) error {
	var missing []error
	for _, name := range append([]string{"ip", "ethtool"}, names...) {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, err)
		}
	}
	return errors.Join(missing...)
}
