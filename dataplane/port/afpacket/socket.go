package afpacket

import (
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
)

const (
	ethHeader = 14
	vlanTag   = 4
	// linkOverhead is what a frame may be longer than the MTU: the Ethernet header and two VLAN tags.
	linkOverhead = ethHeader + 2*vlanTag
	// slotOverhead covers the kernel's headers before a frame in a ring slot: tpacket2_hdr, sockaddr_ll, padding and the
	// virtio-net header (76 bytes in all for Ethernet).
	slotOverhead = 96
	// ringFrames is the number of slots of a receive ring: 40 ms at 100,000 packets a second, because on few cores a worker
	// may have to wait for its turn.
	ringFrames = 4096
	// blockSize is the unit in which the kernel allocates a ring.
	blockSize = 64 << 10
	// sendBuffer bounds what may wait in the queueing discipline for one queue.
	sendBuffer = 4 << 20
)

// openQueue makes a queue's two sockets. They are apart because with virtio-net headers on, every packet sent would need
// one too. The receiving one drops everything until acceptAll, so that no packet is seen twice before fanout is in place.
func openQueue(ifindex, mtu int, cache *mbuf.Cache) (*queue, error) {
	q := &queue{rxFd: -1, txFd: -1, cache: cache, maxFrame: mtu + linkOverhead}
	if err := q.open(ifindex); err != nil {
		return nil, errors.Join(err, q.close())
	}
	q.prepareMessages()
	return q, nil
}

func (q *queue) open(ifindex int) (err error) {
	const kind = unix.SOCK_RAW | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	if q.rxFd, err = unix.Socket(unix.AF_PACKET, kind, 0); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	if q.txFd, err = unix.Socket(unix.AF_PACKET, kind, 0); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	if err := q.openRing(); err != nil {
		return err
	}
	all := uint16(unix.ETH_P_ALL)
	all = all<<8 | all>>8
	if err := unix.Bind(q.rxFd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex}); err != nil {
		return fmt.Errorf("bind for receiving: %w", err)
	}
	if err := unix.Bind(q.txFd, &unix.SockaddrLinklayer{Ifindex: ifindex}); err != nil {
		return fmt.Errorf("bind for sending: %w", err)
	}
	if unix.SetsockoptInt(q.txFd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		if err := unix.SetsockoptInt(q.txFd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer); err != nil {
			return fmt.Errorf("set send buffer: %w", err)
		}
	}
	return nil
}

// openRing sets the receiving socket's options in the order the kernel wants and maps its ring.
func (q *queue) openRing() error {
	for _, o := range []struct {
		name       string
		opt, value int
	}{
		{"PACKET_VERSION", unix.PACKET_VERSION, unix.TPACKET_V2},
		{"PACKET_VNET_HDR", unix.PACKET_VNET_HDR, 1},
		{"PACKET_IGNORE_OUTGOING (Linux 4.20)", unix.PACKET_IGNORE_OUTGOING, 1},
	} {
		if err := unix.SetsockoptInt(q.rxFd, unix.SOL_PACKET, o.opt, o.value); err != nil {
			return fmt.Errorf("set %s: %w", o.name, err)
		}
	}
	if err := refuseAll(q.rxFd); err != nil {
		return err
	}
	q.frameSize = 1 << bits.Len(uint(q.maxFrame+slotOverhead-1))
	block := max(blockSize, q.frameSize)
	req := unix.TpacketReq{
		Block_size: uint32(block),
		Block_nr:   uint32(ringFrames * q.frameSize / block),
		Frame_size: uint32(q.frameSize),
		Frame_nr:   ringFrames,
	}
	if err := unix.SetsockoptTpacketReq(q.rxFd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("make a receive ring of %d KiB: %w", ringFrames*q.frameSize>>10, err)
	}
	ring, err := unix.Mmap(q.rxFd, 0, ringFrames*q.frameSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map the receive ring: %w", err)
	}
	q.ring = ring
	return nil
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

func (q *queue) close() error {
	var errs []error
	if q.ring != nil {
		errs = append(errs, unix.Munmap(q.ring))
		q.ring = nil
	}
	for _, fd := range []*int{&q.rxFd, &q.txFd} {
		if *fd >= 0 {
			errs = append(errs, unix.Close(*fd))
			*fd = -1
		}
	}
	return errors.Join(errs...)
}
