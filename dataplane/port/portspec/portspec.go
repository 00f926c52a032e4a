// Package portspec turns the name a user gives a port into the kind of port and the device, and opens it. It is where the
// kinds of port that need a device come together; it holds no state.
package portspec

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"linecrypt/dataplane/port/netif"
)

// Kind is a kind of port a user can name.
type Kind string

// The kinds of port.
const (
	Packet Kind = "packet" // a kernel network interface through AF_PACKET
	XDP    Kind = "xdp"    // a kernel network interface through AF_XDP
	DPDK   Kind = "dpdk"   // a DPDK device: a PCI address or an EAL virtual device
)

const (
	// maxText is the longest name in bytes taken; EAL strings with many arguments stay far below.
	maxText = 512
	// maxInterface is the longest name the kernel gives an interface (IFNAMSIZ less the terminator).
	maxInterface = 15
	// maxDevice is the longest name DPDK gives a device (RTE_DEV_NAME_MAX_LEN less the terminator).
	maxDevice = 63
)

var (
	pciAddress = regexp.MustCompile(`^([0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]$`)
	vdevName   = regexp.MustCompile(`^net_[a-z0-9_]*[a-z0-9]$`)
)

// Spec names a port.
type Spec struct {
	Kind Kind
	// Device is the interface name, or the device string as EAL takes it. A PCI address has its domain and is lower case.
	Device string
	// PCI says that a dpdk device is named by its PCI address.
	PCI bool
}

// String is the explicit form, which Parse takes too.
func (s Spec) String() string { return string(s.Kind) + ":" + s.Device }

// Interface returns the kernel interface below the port, or "" when there is none or it cannot be told from the name.
func (s Spec) Interface() string {
	if all := s.Interfaces(); len(all) > 0 {
		return all[0]
	}
	return ""
}

// Interfaces returns the kernel interfaces that must be there for the port to attach to, without repetition. What a driver makes
// by itself (net_tap) is not among them.
func (s Spec) Interfaces() []string {
	if s.Kind != DPDK {
		return []string{s.Device}
	}
	driver, args, _ := strings.Cut(s.Device, ",")
	var names []string
	for arg := range strings.SplitSeq(args, ",") {
		key, name, _ := strings.Cut(arg, "=")
		if attaches(driver, key) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// attaches says whether a device argument names an interface that the driver attaches to.
func attaches(driver, key string) bool {
	switch key {
	case "iface":
		return !strings.HasPrefix(driver, "net_tap") && !strings.HasPrefix(driver, "net_virtio_user") && !strings.HasPrefix(driver, "net_vhost")
	case "rx_iface", "rx_iface_in", "tx_iface":
		return strings.HasPrefix(driver, "net_pcap")
	case "remote":
		return strings.HasPrefix(driver, "net_tap")
	}
	return false
}

// AFXDP says whether the port is one of AF_XDP, which takes an interface's frames away from the kernel; all others see copies.
func (s Spec) AFXDP() bool { return s.Kind == XDP || s.DPDKAFXDP() }

// DPDKAFXDP says whether the port is one of DPDK's driver for AF_XDP.
func (s Spec) DPDKAFXDP() bool { return s.Kind == DPDK && strings.HasPrefix(s.Device, "net_af_xdp") }

// PCIAddress returns the address of a PCI device, or "".
func (s Spec) PCIAddress() string {
	if !s.PCI {
		return ""
	}
	address, _, _ := strings.Cut(s.Device, ",")
	return address
}

// Parse reads a port's name: a PCI address (`0000:03:00.0`, `03:00.0`) or an EAL device string (`net_af_xdp0,iface=eth1`)
// is a dpdk port, an interface name a packet port, and a prefix `packet:`, `xdp:` or `dpdk:` says so explicitly. It looks at the
// text alone; whether there is such a device, Check says.
func Parse(text string) (Spec, error) {
	spec, err := parse(text)
	if err != nil {
		return Spec{}, fmt.Errorf("port %q: %w", shorten(text), err)
	}
	return spec, nil
}

func parse(text string) (Spec, error) {
	if len(text) > maxText {
		return Spec{}, fmt.Errorf("longer than %d bytes", maxText)
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return Spec{}, fmt.Errorf("byte %d is not a printable ASCII character", i+1)
		}
	}
	for _, kind := range []Kind{Packet, XDP} {
		if device, found := strings.CutPrefix(text, string(kind)+":"); found {
			return parseInterface(kind, device)
		}
	}
	if device, found := strings.CutPrefix(text, string(DPDK)+":"); found {
		return parseDPDK(device)
	}
	name, _, _ := strings.Cut(text, ",")
	if pciAddress.MatchString(name) || strings.HasPrefix(name, "net_") {
		return parseDPDK(text)
	}
	return parseInterface(Packet, text)
}

func parseInterface(kind Kind, name string) (Spec, error) {
	switch {
	case name == "":
		return Spec{}, errors.New("empty: give an interface name, a PCI address or an EAL device string")
	case strings.ContainsAny(name, ":,="):
		return Spec{}, errors.New("neither an interface name, plain or behind packet: or xdp:, nor a PCI address such as 0000:03:00.0, " +
			"nor an EAL device string such as net_af_xdp0,iface=eth1")
	case len(name) > maxInterface:
		return Spec{}, fmt.Errorf("an interface name has at most %d bytes", maxInterface)
	case name == ".", name == "..", strings.ContainsAny(name, "/%"):
		return Spec{}, errors.New("not an interface name")
	}
	return Spec{Kind: kind, Device: name}, nil
}

func parseDPDK(device string) (Spec, error) {
	name, args, hasArgs := strings.Cut(device, ",")
	spec := Spec{Kind: DPDK, Device: device}
	switch {
	case pciAddress.MatchString(name):
		spec.PCI = true
		if strings.Count(name, ":") == 1 {
			name = "0000:" + name
		}
		spec.Device = strings.ToLower(name)
		if hasArgs {
			spec.Device += "," + args
		}
	case !vdevName.MatchString(name):
		return Spec{}, errors.New("not a DPDK device: neither a PCI address such as 0000:03:00.0, " +
			"nor an EAL device string such as net_af_xdp0,iface=eth1")
	case len(name) > maxDevice:
		return Spec{}, fmt.Errorf("a DPDK device name has at most %d bytes", maxDevice)
	}
	if hasArgs {
		if err := checkArgs(args); err != nil {
			return Spec{}, err
		}
	}
	return spec, nil
}

// checkArgs wants key=value pairs, because what EAL says of others is hard to read.
func checkArgs(args string) error {
	for _, arg := range strings.Split(args, ",") {
		key, value, found := strings.Cut(arg, "=")
		if !found || key == "" || value == "" {
			return fmt.Errorf("device argument %q is not key=value", shorten(arg))
		}
		if key == "iface" && len(value) > maxInterface {
			return fmt.Errorf("interface %q: a name has at most %d bytes", shorten(value), maxInterface)
		}
	}
	return nil
}

// shorten keeps an error about a hostile text readable.
func shorten(text string) string {
	const limit = 64
	if len(text) > limit {
		return text[:limit] + "..."
	}
	return text
}

// Check reports why the port cannot be opened, as far as that can be seen without opening it: its interface is missing, or
// the binary lacks DPDK.
func (s Spec) Check() error {
	if s.Kind == DPDK && !HasDPDK {
		return fmt.Errorf("port %s: %w", s, ErrNoDPDK)
	}
	names := s.Interfaces()
	if len(names) == 0 {
		return nil
	}
	kernel, err := netif.Open()
	if err != nil {
		return fmt.Errorf("port %s: %w", s, err)
	}
	defer kernel.Close()
	for _, name := range names {
		if _, err := kernel.ByName(name); err != nil {
			return fmt.Errorf("port %s: interface %s: %w", s, name, err)
		}
	}
	return nil
}
