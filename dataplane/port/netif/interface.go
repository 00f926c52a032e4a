package netif

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Interface is what the kernel says of an interface.
type Interface struct {
	Index  int
	Name   string
	Kind   string // of virtual ones, such as "veth" or "bridge"; empty for others
	Type   uint16 // ARPHRD_*
	Flags  uint32 // IFF_*
	MTU    int    // bytes of an IP packet
	Master int    // index of the bridge, bond or the like that it is a port of, 0 for none
	// Lower is the index of the interface that this one is made on (VLAN, macvlan), or of a veth's other end; 0 for none, also
	// where that one is in another network namespace.
	Lower int
	// Forwards says whether the kernel routes what it receives here: IPv4, IPv6.
	Forwards [2]bool
	// XDP is the number of the XDP program that is attached to it, 0 for none.
	XDP uint32
}

// Up reports whether the interface is up and has a carrier.
func (i *Interface) Up() bool { return i.Flags&unix.IFF_UP != 0 && i.Flags&unix.IFF_RUNNING != 0 }

// parseInterface reads the body of an RTM_NEWLINK message.
func parseInterface(b []byte) (Interface, bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return Interface{}, false
	}
	i := Interface{
		Type:  binary.NativeEndian.Uint16(b[2:]),
		Index: int(int32(binary.NativeEndian.Uint32(b[4:]))),
		Flags: binary.NativeEndian.Uint32(b[8:]),
	}
	elsewhere := false
	eachAttribute(b[unix.SizeofIfInfomsg:], func(kind uint16, v []byte) {
		switch kind {
		case unix.IFLA_IFNAME:
			i.Name = unix.ByteSliceToString(v)
		case unix.IFLA_MTU:
			i.MTU = int(number(v))
		case unix.IFLA_MASTER:
			i.Master = int(number(v))
		case unix.IFLA_LINK:
			i.Lower = int(number(v))
		case unix.IFLA_LINK_NETNSID:
			elsewhere = true
		case unix.IFLA_LINKINFO:
			eachAttribute(v, func(kind uint16, v []byte) {
				if kind == unix.IFLA_INFO_KIND {
					i.Kind = unix.ByteSliceToString(v)
				}
			})
		case unix.IFLA_AF_SPEC:
			i.Forwards = forwarding(v)
		case unix.IFLA_XDP:
			i.XDP = xdpProgram(v)
		}
	})
	if elsewhere || i.Lower == i.Index {
		i.Lower = 0
	}
	return i, true
}

// The attributes below IFLA_XDP that matter here.
const (
	xdpProgID  = 4 // IFLA_XDP_PROG_ID
	xdpDrvID   = 5 // IFLA_XDP_DRV_PROG_ID
	xdpSkbID   = 6 // IFLA_XDP_SKB_PROG_ID
	xdpHwID    = 7 // IFLA_XDP_HW_PROG_ID
	attrNested = unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER
)

func xdpProgram(b []byte) (id uint32) {
	eachAttribute(b, func(kind uint16, v []byte) {
		switch kind {
		case xdpProgID, xdpDrvID, xdpSkbID, xdpHwID:
			if n := number(v); n != 0 {
				id = n
			}
		}
	})
	return id
}

// forwarding reads the first number of both families' configuration, which is that of forwarding.
func forwarding(b []byte) (on [2]bool) {
	const inetConf, inet6Conf = 1, 2 // IFLA_INET_CONF, IFLA_INET6_CONF
	eachAttribute(b, func(family uint16, v []byte) {
		eachAttribute(v, func(kind uint16, v []byte) {
			switch {
			case family == unix.AF_INET && kind == inetConf:
				on[0] = number(v) != 0
			case family == unix.AF_INET6 && kind == inet6Conf:
				on[1] = number(v) != 0
			}
		})
	})
	return on
}

// eachAttribute calls f for each attribute of b, and ends where b does not hold together.
func eachAttribute(b []byte, f func(kind uint16, value []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		f(binary.NativeEndian.Uint16(b[2:])&^attrNested, b[4:n])
		b = b[min(align(n), len(b)):]
	}
}

// number reads a 32-bit attribute, 0 if it is shorter.
func number(v []byte) uint32 {
	if len(v) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}
