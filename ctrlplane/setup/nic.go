package setup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Drivers that DPDK works through.
var drivers = []string{"vfio-pci", "uio_pci_generic", "igb_uio"}

// Drivers returns the names of the drivers that a NIC can be given to, the one to prefer first.
func Drivers() []string { return slices.Clone(drivers) }

// NIC is a network device on the PCI bus.
type NIC struct {
	Address    string // as 0000:03:00.0
	ID         string // vendor:device
	Driver     string // empty for none
	Interfaces []string
	Group      string // of the IOMMU, empty for none
	Needed     string // why it must stay with the kernel, empty where it need not
}

const pciDevices = "sys/bus/pci/devices"

// NICs lists the network devices on the PCI bus by address.
func (s *System) NICs() ([]NIC, error) {
	entries, err := os.ReadDir(s.path(pciDevices))
	if err != nil {
		return nil, fmt.Errorf("PCI devices: %w", err)
	}
	var all []NIC
	for _, e := range entries {
		if n := s.nic(e.Name()); s.network(e.Name()) {
			all = append(all, n)
		}
	}
	return all, nil
}

func (s *System) network(address string) bool {
	return strings.HasPrefix(s.read(pciDevices, address, "class"), "0x02")
}

func (s *System) nic(address string) NIC {
	hexOf := func(file string) string { return strings.TrimPrefix(s.read(pciDevices, address, file), "0x") }
	n := NIC{Address: address, ID: hexOf("vendor") + ":" + hexOf("device"), Driver: s.link(pciDevices, address, "driver"),
		Group: s.link(pciDevices, address, "iommu_group")}
	for _, pattern := range []string{"net/*", "virtio*/net/*"} {
		found, _ := filepath.Glob(s.path(pciDevices, address, pattern))
		for _, path := range found {
			n.Interfaces = append(n.Interfaces, filepath.Base(path))
		}
	}
	for _, dev := range n.Interfaces {
		if n.Needed == "" {
			n.Needed = s.needed(dev)
		}
	}
	return n
}

var pciAddress = regexp.MustCompile(`^([0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)

// Find returns the NIC of a PCI address, with or without its domain, or of a network interface.
func (s *System) Find(device string) (NIC, error) {
	address := strings.ToLower(device)
	if !pciAddress.MatchString(address) {
		all, err := s.NICs()
		if err != nil {
			return NIC{}, err
		}
		for _, n := range all {
			if slices.Contains(n.Interfaces, device) {
				return n, nil
			}
		}
		return NIC{}, fmt.Errorf("%s: is neither a PCI address (0000:03:00.0) nor an interface of a PCI device; `linecrypt setup nic` lists those there are", device)
	}
	if strings.Count(address, ":") == 1 {
		address = "0000:" + address
	}
	switch _, err := os.Stat(s.path(pciDevices, address)); {
	case errors.Is(err, os.ErrNotExist):
		return NIC{}, fmt.Errorf("%s: there is no such PCI device; `linecrypt setup nic` lists the NICs there are", address)
	case err != nil:
		return NIC{}, err
	case !s.network(address):
		return NIC{}, fmt.Errorf("%s: is no network device (class %s)", address, s.read(pciDevices, address, "class"))
	}
	return s.nic(address), nil
}

// Binding is how a NIC is given to DPDK.
type Binding struct {
	Driver     string // one of Drivers
	NoIOMMU    bool   // vfio-pci without an IOMMU: the device can write anywhere in memory
	Persistent bool   // again at each boot
	Program    string // path of the program that does so at boot
}

// Bind plans to give a NIC to a driver that DPDK works through. An error says why it cannot be, and what to do.
func (s *System) Bind(n NIC, b Binding) ([]Step, error) {
	if !slices.Contains(drivers, b.Driver) {
		return nil, fmt.Errorf("%q is no driver that DPDK works through: want %s", b.Driver, strings.Join(drivers, ", "))
	}
	if err := s.bindable(n, b); err != nil {
		return nil, fmt.Errorf("%s: %w", n.Address, err)
	}
	var steps []Step
	if n.Driver != b.Driver {
		steps = s.bind(n, b)
	}
	if b.Persistent {
		steps = append(steps, s.keep(n, b)...)
	}
	return steps, nil
}

func (s *System) bindable(n NIC, b Binding) error {
	switch {
	case n.Needed != "":
		return fmt.Errorf("it stays as it is: %s", n.Needed)
	case strings.HasPrefix(n.Driver, "mlx"):
		return fmt.Errorf("DPDK's driver of this NIC works beside the kernel's (%s): there is nothing to do", n.Driver)
	case n.Driver != b.Driver && !slices.Contains([]string{"", "0"}, s.read(pciDevices, n.Address, "sriov_numvfs")):
		return fmt.Errorf("it has virtual functions, which would go; first: echo 0 > /sys/%s/%s/sriov_numvfs", strings.TrimPrefix(pciDevices, "sys/"), n.Address)
	case b.Driver != "vfio-pci" || n.Driver == b.Driver:
		return nil
	case n.Group == "" && !b.NoIOMMU:
		return errors.New("vfio-pci needs an IOMMU, and the kernel has none for this device. Switch it on in the firmware (VT-d, AMD-Vi) and on the " +
			"kernel's command line (intel_iommu=on; AMD's is on by default), then reboot. Where there is none, as in most virtual machines: " +
			"--unsafe-no-iommu, which lets the device write anywhere in memory, or --driver uio_pci_generic, which does too")
	}
	return s.alone(n)
}

// alone returns an error where other devices of the NIC's IOMMU group are with drivers of the kernel's: VFIO gives out whole groups.
func (s *System) alone(n NIC) error {
	entries, _ := os.ReadDir(s.path("sys/kernel/iommu_groups", n.Group, "devices"))
	var others []string
	for _, e := range entries {
		other := e.Name()
		driver := s.link(pciDevices, other, "driver")
		if other != n.Address && driver != "" && driver != "vfio-pci" && driver != "pcieport" && driver != "pci-stub" && n.Group != "" {
			others = append(others, other+" ("+driver+")")
		}
	}
	if len(others) > 0 {
		return fmt.Errorf("its IOMMU group %s also has %s; a group goes to VFIO as a whole: unbind them, or put the NIC into another slot",
			n.Group, strings.Join(others, ", "))
	}
	return nil
}

func (s *System) bind(n NIC, b Binding) []Step {
	steps := []Step{{"load the kernel module " + b.Driver, func() error { return s.Run("modprobe", b.Driver) }}}
	if b.NoIOMMU && b.Driver == "vfio-pci" && n.Group == "" {
		steps = append(steps, Step{"let VFIO work without an IOMMU: the device can then write anywhere in memory", func() error {
			return s.put("1", "sys/module/vfio/parameters/enable_unsafe_noiommu_mode")
		}})
	}
	lost := ""
	if len(n.Interfaces) > 0 {
		lost = fmt.Sprintf("; the interface %s goes, with its addresses and routes", strings.Join(n.Interfaces, ", "))
	}
	from := n.Driver
	if from == "" {
		from = "no driver"
	}
	return append(steps, Step{fmt.Sprintf("give %s to %s, from %s%s", n.Address, b.Driver, from, lost), func() error {
		if err := s.hand(n, b.Driver); err != nil {
			return errors.Join(err, s.hand(NIC{Address: n.Address, Driver: s.link(pciDevices, n.Address, "driver")}, "")) // as it was
		}
		return s.shareGroup(n.Address)
	}})
}

// hand takes a device from its driver and gives it to another one, or, where that is empty, to the one that the kernel chooses.
func (s *System) hand(n NIC, driver string) error {
	override := driver
	if override == "" {
		override = "\n"
	}
	if err := s.put(override, pciDevices, n.Address, "driver_override"); err != nil {
		return err
	}
	if n.Driver != "" && n.Driver != driver {
		if err := s.put(n.Address, pciDevices, n.Address, "driver/unbind"); err != nil {
			return err
		}
	}
	if err := s.put(n.Address, "sys/bus/pci/drivers_probe"); err != nil {
		return err
	}
	if now := s.link(pciDevices, n.Address, "driver"); driver != "" && now != driver {
		return fmt.Errorf("the kernel left it with %q; dmesg may say why", now)
	}
	return nil
}

// serviceGroup is the group of the Debian packages' service.
const serviceGroup = "linecrypt"

// shareGroup lets the service open the device of VFIO's that the NIC is behind. Without the service's group there is nothing to do.
func (s *System) shareGroup(address string) error {
	group := s.link(pciDevices, address, "iommu_group")
	gid := -1
	for line := range strings.Lines(s.read("etc/group")) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) >= 3 && f[0] == serviceGroup {
			gid, _ = strconv.Atoi(f[2])
		}
	}
	node := s.path("dev/vfio", group)
	if _, err := os.Stat(node); err != nil || group == "" || gid < 0 {
		return nil
	}
	return errors.Join(os.Chown(node, -1, gid), os.Chmod(node, 0o660))
}

// Restore plans to give a NIC back to the kernel's driver, now and at each boot.
func (s *System) Restore(n NIC) ([]Step, error) {
	unit := unitOf(n)
	_, kept := os.Lstat(s.path(unitFolder, unit))
	var steps []Step
	if slices.Contains(drivers, n.Driver) || n.Driver == "" {
		steps = append(steps, Step{fmt.Sprintf("give %s back to the kernel's own driver, from %s", n.Address, n.Driver), func() error {
			_ = s.Run("modprobe", s.read(pciDevices, n.Address, "modalias")) // the probe tells whether there is a driver
			if err := s.hand(n, ""); err != nil {
				return err
			}
			if now := s.link(pciDevices, n.Address, "driver"); now == "" || slices.Contains(drivers, now) {
				return fmt.Errorf("no driver of the kernel's has taken it (now %q)", now)
			}
			return nil
		}})
	}
	if kept == nil {
		steps = append(steps, Step{"remove " + filepath.Join(unitFolder, unit) + ", so that the next boot leaves it alone", func() error {
			return errors.Join(os.Remove(s.path(unitFolder, unit)), remove(s.path(unitFolder, wants, unit)))
		}})
	}
	return steps, nil
}

const (
	unitFolder = "/etc/systemd/system"
	wants      = "multi-user.target.wants"
)

func unitOf(n NIC) string { return "linecrypt-nic-" + n.Address + ".service" }

// keep has systemd do the same at each boot, before anybody sets up interfaces.
func (s *System) keep(n NIC, b Binding) []Step {
	unsafe := ""
	if b.NoIOMMU {
		unsafe = " --unsafe-no-iommu"
	}
	text := fmt.Sprintf(`# As linecrypt setup nic --persistent was asked; linecrypt setup nic --restore %[1]s takes it back.
[Unit]
Description=NIC %[1]s for Linecrypt
Before=network-pre.target
Wants=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=%[2]s setup nic --yes --driver %[3]s%[4]s %[1]s

[Install]
WantedBy=multi-user.target
`, n.Address, b.Program, b.Driver, unsafe)
	unit := unitOf(n)
	return []Step{
		s.file(filepath.Join(unitFolder, unit), text, "a unit of systemd that does this at each boot"),
		{"enable it", func() error {
			link := s.path(unitFolder, wants, unit)
			if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), remove(link)); err != nil {
				return err
			}
			return os.Symlink(filepath.Join("..", unit), link)
		}},
	}
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
