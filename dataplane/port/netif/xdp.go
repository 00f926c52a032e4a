package netif

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DetachXDP takes the XDP programs off an interface, however they are attached.
func (h *Handle) DetachXDP(index int) error {
	var errs []error
	for _, mode := range []uint32{unix.XDP_FLAGS_DRV_MODE, unix.XDP_FLAGS_SKB_MODE} {
		if err := h.setXDP(index, -1, mode); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detach XDP: %w", err)
	}
	return nil
}

// setXDP attaches the program of a descriptor, or takes the one that is there off with -1.
func (h *Handle) setXDP(index, fd int, mode uint32) error {
	const fdAttr, flagsAttr = 1, 3 // IFLA_XDP_FD, IFLA_XDP_FLAGS
	xdp := attribute(nil, fdAttr, binary.NativeEndian.AppendUint32(nil, uint32(int32(fd))))
	xdp = attribute(xdp, flagsAttr, binary.NativeEndian.AppendUint32(nil, mode))
	body := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(body[4:], uint32(index))
	return h.ask(unix.RTM_SETLINK, 0, attribute(body, unix.IFLA_XDP|unix.NLA_F_NESTED, xdp), func(uint16, []byte) {})
}

// XDPUsed returns nil when an AF_XDP port may attach to the interface as far as XDP goes, and otherwise who is there and the
// command that helps: an AF_XDP socket of another program, or an XDP program that is not the one AF_XDP sockets come with. That one
// stays behind when its process is killed, and is taken over. Where the kernel does not tell, nobody is there.
func (h *Handle) XDPUsed(i Interface) error {
	if n := xdpSockets(i.Index); n > 0 {
		return fmt.Errorf("another program has an AF_XDP socket on interface %s (see `ss --xdp -p`)", i.Name)
	}
	if i.XDP == 0 {
		return nil
	}
	switch name := programName(i.XDP); name {
	case "", "xdp_dispatcher", "xsk_def_prog", "xdp_sock_prog":
		return nil
	default:
		return fmt.Errorf("the XDP program %s of another program is attached to interface %s; take it off with `ip link set dev %s xdp off`",
			name, i.Name, i.Name)
	}
}

// xdpSockets counts the AF_XDP sockets that are bound to an interface of the calling thread's network namespace.
func xdpSockets(index int) (n int) {
	const byFamily, show, info = 20, 1, 1 // SOCK_DIAG_BY_FAMILY, XDP_SHOW_INFO, XDP_DIAG_INFO
	const header = 16                     // struct xdp_diag_msg
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0
	}
	h := &Handle{route: fd, ctl: -1, buffer: make([]byte, bufferSize)}
	defer h.Close()
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10})
	body := make([]byte, 20)
	body[0] = unix.AF_XDP
	binary.NativeEndian.PutUint32(body[8:], show)
	_ = h.ask(byFamily, unix.NLM_F_DUMP, body, func(_ uint16, b []byte) {
		if len(b) < header {
			return
		}
		eachAttribute(b[header:], func(kind uint16, v []byte) {
			if kind == info && int(number(v)) == index {
				n++
			}
		})
	})
	return n
}

// programName returns the name of a BPF program by its number, or "" when it cannot be had.
func programName(id uint32) string {
	const getFD, getInfo = 13, 15 // BPF_PROG_GET_FD_BY_ID, BPF_OBJ_GET_INFO_BY_FD
	const nameAt = 64             // in struct bpf_prog_info
	ask := struct{ id, next, flags uint32 }{id: id}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, getFD, uintptr(unsafe.Pointer(&ask)), unsafe.Sizeof(ask))
	if errno != 0 {
		return ""
	}
	defer unix.Close(int(fd))
	var info [256]byte
	arg := struct {
		fd, length uint32
		info       unsafe.Pointer
	}{fd: uint32(fd), length: uint32(len(info)), info: unsafe.Pointer(&info)}
	if _, _, errno := unix.Syscall(unix.SYS_BPF, getInfo, uintptr(unsafe.Pointer(&arg)), unsafe.Sizeof(arg)); errno != 0 {
		return ""
	}
	return unix.ByteSliceToString(info[nameAt : nameAt+16])
}
