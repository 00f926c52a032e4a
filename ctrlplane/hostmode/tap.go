package hostmode

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// tap is an interface that is there as long as somebody has its descriptor. Nobody reads from that: the kernel's programs take what is sent to
// the interface elsewhere before.
type tap struct {
	name  string
	index int
	file  *os.File
}

// newTap makes a TAP device that carries mtu bytes, up and without addresses. The kernel puts a number in the place of %d.
func newTap(pattern string, mtu int) (*tap, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun, which host mode makes its two ports with (`modprobe tun` makes it; a container has to be given it): %w", err)
	}
	t := &tap{file: os.NewFile(uintptr(fd), "tap")}
	if err := t.make(pattern, mtu); err != nil {
		return nil, errors.Join(fmt.Errorf("make a TAP device: %w", err), t.file.Close())
	}
	return t, nil
}

func (t *tap) make(pattern string, mtu int) error {
	request, err := unix.NewIfreq(pattern)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	fd := int(t.file.Fd())
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return err
	}
	t.name = request.Name()
	l, err := netlink.LinkByName(t.name)
	if err != nil {
		return err
	}
	t.index = l.Attrs().Index
	// The kernel is to say nothing on it by itself.
	_ = netlink.LinkSetIP6AddrGenMode(l, nl.IN6_ADDR_GEN_MODE_NONE)
	_ = os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", t.name, "disable_ipv6"), []byte("1"), 0)
	if err := netlink.LinkSetARPOff(l); err != nil {
		return err
	}
	if err := netlink.LinkSetMTU(l, mtu); err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("keep %s open: %w", f.Name(), err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
