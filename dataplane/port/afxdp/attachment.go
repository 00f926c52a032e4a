package afxdp

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/port"
)

// attachment is what a port has on an interface: a socket for each receive queue, the program that leads to them, and a packet socket by which
// the interface takes in frames for any address. It goes when the interface goes. One without sockets is nothing to poll.
type attachment struct {
	sockets  []*socket
	program  *program
	promisc  int // descriptor
	pieces   bool
	maxFrame atomic.Int64 // longest frame in bytes taken and sent

	// The worker's own.
	turn int  // the socket that is polled first
	down bool // the interface sends nothing
}

// openAttachment takes an interface with n receive queues.
func openAttachment(index, n, mtu int, pieces bool) (*attachment, error) {
	a := &attachment{promisc: -1, pieces: pieces}
	a.maxFrame.Store(int64(mtu + LinkOverhead))
	err := a.open(index, n)
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

func (a *attachment) open(index, n int) (err error) {
	for q, of := range shapes(n, a.pieces) {
		s, err := openSocket(index, q, of)
		if err != nil {
			return err
		}
		a.sockets = append(a.sockets, s)
	}
	if err := a.takeAll(index); err != nil {
		return err
	}
	a.program, err = attachProgram(index, a.sockets, a.pieces)
	return err
}

// takeAll makes the interface take in frames for any address while the descriptor is open.
func (a *attachment) takeAll(index int) (err error) {
	if a.promisc, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	mreq := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(a.promisc, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
		return fmt.Errorf("set promiscuous mode: %w", err)
	}
	return nil
}

// fds are the descriptors to wait for packets by.
func (a *attachment) fds() []int {
	var fds []int
	for _, s := range a.sockets {
		fds = append(fds, s.fd)
	}
	return fds
}

// stats returns what the kernel counts of all sockets. A frame that no chunk, or not enough chunks, were free for was missed; what it
// dropped beside these, where a frame must fit one chunk, was larger than a chunk.
func (a *attachment) stats() (sum port.Stats) {
	for _, s := range a.sockets {
		k := s.stats()
		sum.RxMissed += k.Rx_ring_full + k.Rx_fill_ring_empty_descs
		sum.TxErrors += k.Tx_invalid_descs
		switch other := k.Rx_dropped - min(k.Rx_dropped, k.Rx_fill_ring_empty_descs); {
		case a.pieces:
			sum.RxMissed += other
		default:
			sum.RxSuperPacket += other
		}
	}
	return sum
}

func (a *attachment) close() error {
	var errs []error
	if a.program != nil {
		errs = append(errs, a.program.close())
	}
	if a.promisc >= 0 {
		errs = append(errs, unix.Close(a.promisc))
	}
	for _, s := range a.sockets {
		errs = append(errs, s.close())
	}
	a.program, a.promisc, a.sockets = nil, -1, nil
	return errors.Join(errs...)
}
