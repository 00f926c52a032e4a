package hostmode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/hostmode/steer"
	"linecrypt/flowtable"
)

// States of a TCP socket that has no connection (RFC 9293, numbers of the kernel).
const (
	tcpTimeWait = 6
	tcpClose    = 7
	tcpListen   = 10
	tcpNewSyn   = 12
)

// isOpen reports whether a socket's connection is one that goes on.
func isOpen(s *netlink.Socket) bool {
	return s.State != tcpTimeWait && s.State != tcpClose && s.State != tcpNewSyn
}

// sockets calls f for each TCP socket of the network namespace that has a far end, also for those that are not open.
func sockets(f func(s *netlink.Socket, near, far netip.AddrPort)) error {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		var all []*netlink.Socket
		err := error(netlink.ErrDumpInterrupted)
		for try := 0; errors.Is(err, netlink.ErrDumpInterrupted) && try < 5; try++ {
			all, err = netlink.SocketDiagTCP(family)
		}
		if err != nil {
			return fmt.Errorf("list the machine's connections: %w", err)
		}
		for _, s := range all {
			near, ok1 := netip.AddrFromSlice(s.ID.Source)
			far, ok2 := netip.AddrFromSlice(s.ID.Destination)
			if s.State == tcpListen || !ok1 || !ok2 || s.ID.DestinationPort == 0 {
				continue
			}
			f(s, netip.AddrPortFrom(near.Unmap(), s.ID.SourcePort), netip.AddrPortFrom(far.Unmap(), s.ID.DestinationPort))
		}
	}
	return nil
}

// open returns the machine's connections.
func open() (map[steer.Connection]bool, error) {
	all := map[steer.Connection]bool{}
	err := sockets(func(s *netlink.Socket, near, far netip.AddrPort) {
		if isOpen(s) {
			all[steer.NewConnection(near, far)] = true
		}
	})
	return all, err
}

// ends are the two ends of a connection.
type ends struct{ near, far netip.AddrPort }

// abort resets those of the machine's connections that are in the set: whoever has one open learns of it (ECONNABORTED), and what it
// says afterwards goes nowhere. What no socket of the machine has remains in the set.
func abort(set map[ends]flowtable.State) error {
	if len(set) == 0 {
		return nil
	}
	var errs []error
	err := sockets(func(s *netlink.Socket, near, far netip.AddrPort) {
		e := ends{near, far}
		if _, ok := set[e]; !ok {
			return
		}
		delete(set, e)
		if isOpen(s) {
			errs = append(errs, destroy(s))
		}
	})
	return errors.Join(append(errs, err)...)
}

// destroy has the kernel abort a socket (SOCK_DESTROY of sock_diag(7), a struct inet_diag_req_v2). One that is gone is none.
func destroy(s *netlink.Socket) error {
	b := make([]byte, 56)
	b[0], b[1] = s.Family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], 1<<s.State)
	binary.BigEndian.PutUint16(b[8:], s.ID.SourcePort)
	binary.BigEndian.PutUint16(b[10:], s.ID.DestinationPort)
	for at, ip := range map[int][]byte{12: s.ID.Source, 28: s.ID.Destination} {
		if s.Family == unix.AF_INET {
			ip = ip[len(ip)-4:]
		}
		copy(b[at:], ip)
	}
	binary.NativeEndian.PutUint32(b[44:], s.ID.Interface)
	binary.NativeEndian.PutUint32(b[48:], s.ID.Cookie[0])
	binary.NativeEndian.PutUint32(b[52:], s.ID.Cookie[1])
	request := nl.NewNetlinkRequest(nl.SOCK_DESTROY, unix.NLM_F_ACK)
	request.AddRawData(b)
	if _, err := request.Execute(unix.NETLINK_INET_DIAG, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("abort connection %s:%d to %s:%d: %w", s.ID.Source, s.ID.SourcePort, s.ID.Destination, s.ID.DestinationPort, err)
	}
	return nil
}
