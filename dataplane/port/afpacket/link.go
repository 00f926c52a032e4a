package afpacket

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// link asks the kernel about one interface. It is apart from the queues, so that any goroutine may use it.
type link struct {
	fd    int
	name  string
	index int
}

func openLink(name string) (link, error) {
	if _, err := unix.NewIfreq(name); err != nil {
		return link{}, errors.New("no such interface: a name has 1 to 15 bytes")
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return link{}, fmt.Errorf("control socket: %w", err)
	}
	l := link{fd: fd, name: name}
	if err := l.identify(); err != nil {
		return link{}, errors.Join(err, l.close())
	}
	return l, nil
}

func (l *link) identify() error {
	ifr, err := l.ask(unix.SIOCGIFINDEX)
	if err != nil {
		return err
	}
	l.index = int(int32(ifr.Uint32()))
	if ifr, err = l.ask(unix.SIOCGIFHWADDR); err != nil {
		return err
	}
	if kind := ifr.Uint16(); kind != unix.ARPHRD_ETHER {
		return fmt.Errorf("not an Ethernet interface (ARP hardware type %d)", kind)
	}
	return nil
}

func (l *link) ask(req uint) (*unix.Ifreq, error) {
	ifr, err := unix.NewIfreq(l.name)
	if err != nil {
		return nil, fmt.Errorf("interface name: %w", err)
	}
	switch err = unix.IoctlIfreq(l.fd, req, ifr); {
	case errors.Is(err, unix.ENODEV):
		return nil, errors.New("no such interface in this network namespace")
	case err != nil:
		return nil, fmt.Errorf("ask for its state: %w", err)
	}
	return ifr, nil
}

func (l *link) flags() (uint16, error) {
	ifr, err := l.ask(unix.SIOCGIFFLAGS)
	if err != nil {
		return 0, err
	}
	return ifr.Uint16(), nil
}

func (l *link) mtu() (int, error) {
	ifr, err := l.ask(unix.SIOCGIFMTU)
	if err != nil {
		return 0, err
	}
	return int(int32(ifr.Uint32())), nil
}

// up reports whether the interface that was opened is up and has a carrier. The index is compared because an interface
// that was removed and made anew has the name but not the sockets.
func (l *link) up() bool {
	ifr, err := l.ask(unix.SIOCGIFINDEX)
	if err != nil || int(int32(ifr.Uint32())) != l.index {
		return false
	}
	flags, err := l.flags()
	return err == nil && flags&unix.IFF_UP != 0 && flags&unix.IFF_RUNNING != 0
}

// await waits until the interface is up and has a carrier. Only an interface still down after timeout is an error.
func (l *link) await(timeout time.Duration) error {
	for end := time.Now().Add(timeout); ; time.Sleep(linkPoll) {
		flags, err := l.flags()
		if err != nil {
			return err
		}
		if flags&unix.IFF_UP != 0 && flags&unix.IFF_RUNNING != 0 {
			return nil
		}
		if time.Now().Before(end) {
			continue
		}
		if flags&unix.IFF_UP == 0 {
			return fmt.Errorf("down: bring it up with `ip link set dev %s up`", l.name)
		}
		return nil
	}
}

func (l *link) close() error { return unix.Close(l.fd) }
