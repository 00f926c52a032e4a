package foreign

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Endpoint is a host on a device of the namespace that it was opened in.
type Endpoint struct {
	Addr netip.Addr // its own address
	MAC  net.HardwareAddr
	Peer netip.Addr // the one host it talks to
	// PeerMAC is that host's; nobody asks for it.
	PeerMAC net.HardwareAddr

	fd    int
	dev   int
	mu    sync.Mutex
	conns map[uint16]*Conn // by local port
	done  chan struct{}
	stop  bool
}

// Open makes the endpoint's socket on the device with this index; it must be called inside the namespace.
func (e *Endpoint) Open(device int) error {
	const protocol = unix.ETH_P_IP >> 8 // in network byte order; its low byte is zero
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("foreign endpoint: %w", err)
	}
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 20_000}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: device}),
	); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("foreign endpoint: %w", err)
	}
	e.fd, e.dev, e.conns, e.done = fd, device, map[uint16]*Conn{}, make(chan struct{})
	go e.receive()
	return nil
}

// Close ends the endpoint; its connections just fall silent.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	e.stop = true
	e.mu.Unlock()
	<-e.done
	return unix.Close(e.fd)
}

func (e *Endpoint) receive() {
	defer close(e.done)
	buf := make([]byte, 64<<10)
	for {
		n, from, err := unix.Recvfrom(e.fd, buf, 0)
		e.mu.Lock()
		stop := e.stop
		e.mu.Unlock()
		if stop {
			return
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); err != nil || !ok || ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		var s segment
		if !s.parse(buf[:n]) || s.dst != e.Addr || s.src != e.Peer {
			continue
		}
		e.mu.Lock()
		c := e.conns[s.dstPort]
		e.mu.Unlock()
		if c != nil {
			c.arrive(&s)
		}
	}
}

func (e *Endpoint) send(s *segment) {
	s.src, s.dst = e.Addr, e.Peer
	// A full queue loses packets, as networks do.
	_, _ = unix.Write(e.fd, s.packet(e.MAC, e.PeerMAC))
}

func (e *Endpoint) conn(local uint16, scale int) *Conn {
	c := &Conn{e: e, local: local, scale: scale, news: make(chan struct{}, 1), stash: map[uint32][]byte{}}
	c.iss = uint32(local) << 16
	e.mu.Lock()
	e.conns[local] = c
	e.mu.Unlock()
	return c
}

// Forget makes the endpoint deaf for a connection.
func (e *Endpoint) Forget(c *Conn) {
	e.mu.Lock()
	delete(e.conns, c.local)
	e.mu.Unlock()
}

// retransmission is how long a Conn waits for an acknowledgement.
const retransmission = 250 * time.Millisecond

// wait blocks until something arrived, for at most the time of a retransmission.
func (c *Conn) wait(ctx context.Context) error {
	timer := time.NewTimer(retransmission)
	defer timer.Stop()
	select {
	case <-c.news:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
