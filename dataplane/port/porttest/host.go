package porttest

import (
	"bytes"
	"net"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Host is a raw socket on the host's end of a veth pair.
type Host struct {
	t  testing.TB
	fd int
}

// NewHost opens one on an interface of the thread's namespace. It ends with the test.
func NewHost(t testing.TB, ifname string) Host {
	t.Helper()
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	ifc, err := net.InterfaceByName(ifname)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, all)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifc.Index}); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		t.Fatal(err)
	}
	tv := unix.NsecToTimeval(patience.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		t.Fatal(err)
	}
	return Host{t, fd}
}

// Write sends a frame as it is. It may be called by a goroutine of its own.
func (h Host) Write(b []byte) (int, error) { return unix.Write(h.fd, b) }

// Send is Write that must not fail.
func (h Host) Send(b []byte) {
	h.t.Helper()
	if _, err := h.Write(b); err != nil {
		h.t.Fatal(err)
	}
}

// Receive returns the next of Frame's frames that arrived, its VLAN tag in place, or nil when none came in time.
func (h Host) Receive() []byte {
	h.t.Helper()
	buf, oob := make([]byte, 16<<10), make([]byte, 256)
	for {
		n, on, _, from, err := unix.Recvmsg(h.fd, buf, oob, 0)
		if err != nil {
			return nil
		}
		if sll, ok := from.(*unix.SockaddrLinklayer); ok && sll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if b := untrim(buf[:n], oob[:on]); IsFrame(b) {
			return b
		}
	}
}

// untrim puts the VLAN tag back that the kernel took out of the frame.
func untrim(b, oob []byte) []byte {
	msgs, _ := unix.ParseSocketControlMessage(oob)
	for _, m := range msgs {
		if m.Header.Level != unix.SOL_PACKET || m.Header.Type != unix.PACKET_AUXDATA || len(m.Data) < 20 {
			continue
		}
		aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0]))
		if aux.Status&unix.TP_STATUS_VLAN_VALID != 0 {
			return Tagged(b, aux.Vlan_tci)
		}
	}
	return bytes.Clone(b)
}
