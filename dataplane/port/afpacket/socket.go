package afpacket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LinkOverhead is what a frame may be longer than the MTU: the Ethernet header and two VLAN tags.
const LinkOverhead = ethHeader + 2*vlanTag

const (
	ethHeader = 14
	vlanTag   = 4
	// slotOverhead covers the kernel's headers before a frame in a ring slot: tpacket2_hdr, sockaddr_ll, padding and the
	// virtio-net header (76 bytes in all for Ethernet).
	slotOverhead = 96
	// ringFrames is the number of slots of a receive ring: 40 ms at 100,000 packets a second, because on few cores a worker
	// may have to wait for its turn. There are fewer where they are large: ringBytes bounds what a ring takes of memory.
	ringFrames = 4096
	ringBytes  = 32 << 20
	// blockSize is the unit in which the kernel allocates a ring.
	blockSize = 64 << 10
	// sendBuffer bounds what may wait in the queueing discipline for one queue.
	sendBuffer = 4 << 20
	// keptBuffer bounds the super-packets that wait beside a receive ring, as the kernel counts their memory.
	keptBuffer = 16 << 20
)

// sockets are the two sockets of a queue on one interface, with the receiving one's ring. They are two because the filter, the fanout
// group and pending errors are for receiving alone.
type sockets struct {
	rxFd, txFd int
	ring       []byte
	frameSize  int
	frames     int          // slots of the ring
	next       int          // the slot the next packet will be in; the worker's own
	maxFrame   atomic.Int64 // longest frame in bytes taken
}

// openAll opens n pairs of sockets that share the traffic of an interface. They drop everything until acceptAll.
func openAll(ifindex, mtu, n int) ([]*sockets, error) {
	var all []*sockets
	for i := range n {
		s, err := openSockets(ifindex, mtu)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("queue %d: %w", i, err), closeAll(all))
		}
		all = append(all, s)
	}
	if err := join(all, ifindex); err != nil {
		return nil, errors.Join(err, closeAll(all))
	}
	return all, nil
}

func closeAll(all []*sockets) error {
	var errs []error
	for _, s := range all {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// join makes the receiving sockets share the interface's traffic, whatever its address.
func join(all []*sockets, ifindex int) error {
	if len(all) > 1 {
		group, err := newFanout(all[0].rxFd)
		if err != nil {
			return err
		}
		for _, s := range all[1:] {
			if err := joinFanout(s.rxFd, group); err != nil {
				return err
			}
		}
	}
	return promiscuous(all[0].rxFd, ifindex)
}

func openSockets(ifindex, mtu int) (*sockets, error) {
	s := &sockets{rxFd: -1, txFd: -1}
	s.maxFrame.Store(int64(mtu + LinkOverhead))
	if err := s.open(ifindex, slotSize(mtu+LinkOverhead)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// slotSize is the size of a ring's slot for frames of up to maxFrame bytes.
func slotSize(maxFrame int) int { return 1 << bits.Len(uint(maxFrame+slotOverhead-1)) }

func (s *sockets) open(ifindex, slot int) (err error) {
	const kind = unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	if s.rxFd, err = unix.Socket(unix.AF_PACKET, kind, 0); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	if s.txFd, err = unix.Socket(unix.AF_PACKET, kind, 0); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	if err := s.openRing(slot); err != nil {
		return err
	}
	all := uint16(unix.ETH_P_ALL)
	all = all<<8 | all>>8
	if err := unix.Bind(s.rxFd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}); err != nil {
		return fmt.Errorf("bind for receiving: %w", err)
	}
	if err := unix.Bind(s.txFd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		return fmt.Errorf("bind for sending: %w", err)
	}
	if err := buffer(s.txFd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer); err != nil {
		return fmt.Errorf("set send buffer: %w", err)
	}
	if err := unix.SetsockoptInt(s.txFd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return fmt.Errorf("set PACKET_VNET_HDR for sending: %w", err)
	}
	return nil
}

// buffer sets the size of a socket's buffer: as much as the system's limit allows where the process may not go beyond it.
func buffer(fd, force, plain, n int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, n) == nil {
		return nil
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, n)
}

// openRing sets the receiving socket's options in the order the kernel wants and maps its ring.
func (s *sockets) openRing(slot int) error {
	for _, o := range []struct {
		name       string
		opt, value int
	}{
		{"PACKET_VERSION", unix.PACKET_VERSION, unix.TPACKET_V2},
		{"PACKET_VNET_HDR", unix.PACKET_VNET_HDR, 1},
		{"PACKET_COPY_THRESH", unix.PACKET_COPY_THRESH, 1},
		{"PACKET_IGNORE_OUTGOING (Linux 4.20)", unix.PACKET_IGNORE_OUTGOING, 1},
	} {
		if err := unix.SetsockoptInt(s.rxFd, unix.SOL_PACKET, o.opt, o.value); err != nil {
			return fmt.Errorf("set %s: %w", o.name, err)
		}
	}
	if err := buffer(s.rxFd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, keptBuffer); err != nil {
		return fmt.Errorf("set receive buffer: %w", err)
	}
	if err := refuseAll(s.rxFd); err != nil {
		return err
	}
	s.frameSize, s.frames = slot, min(ringFrames, ringBytes/slot)
	block := max(blockSize, slot)
	req := unix.TpacketReq{
		Block_size: uint32(block),
		Block_nr:   uint32(s.frames * slot / block),
		Frame_size: uint32(slot),
		Frame_nr:   uint32(s.frames),
	}
	if err := unix.SetsockoptTpacketReq(s.rxFd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("make a receive ring of %d KiB: %w", s.frames*slot>>10, err)
	}
	ring, err := unix.Mmap(s.rxFd, 0, s.frames*slot, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the receive ring: %w", err)
	}
	s.ring = ring
	return nil
}

// bound reports whether the interface that the sockets were opened on is still there, up or down.
func (s *sockets) bound() bool {
	a, err := unix.Getsockname(s.rxFd)
	at, ok := a.(*unix.SockaddrLinklayer)
	return err == nil && ok && at.Ifindex > 0
}

// clearError fetches and so clears what is pending on the receiving socket. The error itself says nothing that Port.Follow does
// not say better.
func (s *sockets) clearError() {
	s.sockopt(unix.SOL_SOCKET, unix.SO_ERROR, 4)
}

// missed returns how many packets the kernel had no slot for since the last call.
func (s *sockets) missed() uint64 {
	buf, ok := s.sockopt(unix.SOL_PACKET, unix.PACKET_STATISTICS, 8)
	if !ok {
		return 0
	}
	return uint64(binary.NativeEndian.Uint32(buf[4:]))
}

// sockopt reads an option of the receiving socket of n bytes, n at most 8, without allocating.
func (s *sockets) sockopt(level, opt int, n uint32) (buf [8]byte, ok bool) {
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(s.rxFd), uintptr(level), uintptr(opt),
		uintptr(unsafe.Pointer(&buf)), uintptr(unsafe.Pointer(&n)), 0)
	return buf, errno == 0
}

func (s *sockets) close() error {
	var errs []error
	if s.ring != nil {
		errs = append(errs, unix.Munmap(s.ring))
		s.ring = nil
	}
	for _, fd := range []*int{&s.rxFd, &s.txFd} {
		if *fd >= 0 {
			errs = append(errs, unix.Close(*fd))
			*fd = -1
		}
	}
	return errors.Join(errs...)
}

// refuseAll attaches a filter that drops every packet.
func refuseAll(fd int) error {
	drop := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
	prog := unix.SockFprog{Len: 1, Filter: &drop[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return fmt.Errorf("attach filter: %w", err)
	}
	return nil
}

// acceptAll removes the filter of refuseAll.
func acceptAll(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0); err != nil {
		return fmt.Errorf("detach filter: %w", err)
	}
	return nil
}

// fanoutMode is the symmetric hash. The group has a hook of its own in the kernel, to which the sockets' own
// PACKET_IGNORE_OUTGOING does not apply: without the flag the port would receive again what it sends.
const fanoutMode = unix.PACKET_FANOUT_HASH | unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING

// newFanout makes a fanout group with an ID nobody else uses and returns the ID.
func newFanout(fd int) (int, error) {
	arg := (fanoutMode | unix.PACKET_FANOUT_FLAG_UNIQUEID) << 16
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, arg); err != nil {
		return 0, fmt.Errorf("make a fanout group: %w", err)
	}
	v, err := unix.GetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT)
	if err != nil {
		return 0, fmt.Errorf("read the fanout group: %w", err)
	}
	return v & 0xffff, nil
}

func joinFanout(fd, group int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, group|fanoutMode<<16); err != nil {
		return fmt.Errorf("join the fanout group: %w", err)
	}
	return nil
}

// promiscuous makes the interface receive frames for any address while fd is open.
func promiscuous(fd, ifindex int) error {
	mreq := unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
		return fmt.Errorf("set promiscuous mode: %w", err)
	}
	return nil
}
