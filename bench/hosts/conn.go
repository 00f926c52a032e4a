package hosts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// ErrClosed is what a closed Listener returns.
var ErrClosed = errors.New("listener is closed")

// Conn is a TCP connection of a host.
type Conn struct {
	*gonet.TCPConn
	ep tcpip.Endpoint
}

// Reset ends the connection by an RST, as closing a socket with SO_LINGER 0 does.
func (c *Conn) Reset() {
	c.ep.SocketOptions().SetLinger(tcpip.LingerOption{Enabled: true})
	c.ep.Close()
}

// SetNoDelay switches Nagle's algorithm off or on; new connections have it off.
func (c *Conn) SetNoDelay(on bool) { c.ep.SocketOptions().SetDelayOption(!on) }

// KeepAlive has the host probe the far end after every pause of that length, and give it up behind that many
// unanswered probes.
func (c *Conn) KeepAlive(every time.Duration, probes int) error {
	c.ep.SocketOptions().SetKeepAlive(true)
	idle, interval := tcpip.KeepaliveIdleOption(every), tcpip.KeepaliveIntervalOption(every)
	for _, o := range []tcpip.SettableSocketOption{&idle, &interval} {
		if err := c.ep.SetSockOpt(o); err != nil {
			return fmt.Errorf("keep-alive: %s", err)
		}
	}
	if err := c.ep.SetSockOptInt(tcpip.KeepaliveCountOption, probes); err != nil {
		return fmt.Errorf("keep-alive: %s", err)
	}
	return nil
}

// Local returns the address of this end.
func (c *Conn) Local() netip.AddrPort { return addrPort(c.LocalAddr()) }

// Remote returns the address of the far end.
func (c *Conn) Remote() netip.AddrPort { return addrPort(c.RemoteAddr()) }

func addrPort(a net.Addr) netip.AddrPort {
	p := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}
}

// Dial connects to an address. A refused connection and one that ctx ends are errors.
func (h *Host) Dial(ctx context.Context, to netip.AddrPort) (*Conn, error) {
	wq := new(waiter.Queue)
	ep, terr := h.Stack.NewEndpoint(tcp.ProtocolNumber, protocolOf(to.Addr()), wq)
	if terr != nil {
		return nil, fmt.Errorf("dial %v from %s: %s", to, h.Name, terr)
	}
	entry, ready := waiter.NewChannelEntry(waiter.WritableEvents)
	wq.EventRegister(&entry)
	defer wq.EventUnregister(&entry)
	terr = ep.Connect(fullAddress(to))
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		select {
		case <-ctx.Done():
			ep.Close()
			return nil, fmt.Errorf("dial %v from %s: %w", to, h.Name, ctx.Err())
		case <-ready:
		}
		terr = ep.LastError()
	}
	if terr != nil {
		ep.Close()
		return nil, fmt.Errorf("dial %v from %s: %s", to, h.Name, terr)
	}
	return &Conn{TCPConn: gonet.NewTCPConn(wq, ep), ep: ep}, nil
}

// Listener accepts the connections of a port.
type Listener struct {
	Addr  netip.AddrPort
	ep    tcpip.Endpoint
	wq    *waiter.Queue
	ended chan struct{}
	once  sync.Once
}

// backlog holds all connections that a test opens at once.
const backlog = 1024

// Listen opens a port of one of the host's addresses; port 0 is one of the host's choice.
func (h *Host) Listen(at netip.AddrPort) (*Listener, error) {
	l := &Listener{wq: new(waiter.Queue), ended: make(chan struct{})}
	var terr tcpip.Error
	l.ep, terr = h.Stack.NewEndpoint(tcp.ProtocolNumber, protocolOf(at.Addr()), l.wq)
	if terr == nil {
		terr = l.ep.Bind(fullAddress(at))
	}
	if terr == nil {
		terr = l.ep.Listen(backlog)
	}
	if terr != nil {
		return nil, fmt.Errorf("listen at %v on %s: %s", at, h.Name, terr)
	}
	local, _ := l.ep.GetLocalAddress()
	l.Addr = netip.AddrPortFrom(at.Addr(), local.Port)
	return l, nil
}

// Accept waits for a connection.
func (l *Listener) Accept() (*Conn, error) {
	entry, ready := waiter.NewChannelEntry(waiter.ReadableEvents)
	l.wq.EventRegister(&entry)
	defer l.wq.EventUnregister(&entry)
	for {
		ep, wq, terr := l.ep.Accept(nil)
		if terr == nil {
			return &Conn{TCPConn: gonet.NewTCPConn(wq, ep), ep: ep}, nil
		}
		if _, wait := terr.(*tcpip.ErrWouldBlock); !wait {
			return nil, fmt.Errorf("accept at %v: %s", l.Addr, terr)
		}
		select {
		case <-ready:
		case <-l.ended:
			return nil, fmt.Errorf("accept at %v: %w", l.Addr, ErrClosed)
		}
	}
}

// AcceptWithin is Accept with a limit.
func (l *Listener) AcceptWithin(d time.Duration) (*Conn, error) {
	type result struct {
		c   *Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		c, err := l.Accept()
		done <- result{c, err}
	}()
	select {
	case r := <-done:
		return r.c, r.err
	case <-time.After(d):
		return nil, fmt.Errorf("accept at %v: nothing within %v", l.Addr, d)
	}
}

// Close ends the listener; accepted connections go on.
func (l *Listener) Close() {
	l.once.Do(func() {
		close(l.ended)
		l.ep.Close()
	})
}
