package server

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// pace bounds the requests of one connection.
type pace struct {
	mu    sync.Mutex
	begin time.Time
	n     int
}

type paceKey struct{}

func (p *pace) allows(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.begin) >= time.Second {
		p.begin, p.n = now, 0
	}
	p.n++
	return p.n <= remoteRate
}

// shareListener gives every peer its share of the connections.
type shareListener struct {
	net.Listener
	mu    sync.Mutex
	peers map[netip.Prefix]int
	total int
}

func (l *shareListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if peer, ok := l.enter(c.RemoteAddr()); ok {
			return &shareConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(peer) })}, nil
		}
		c.Close()
	}
}

func (l *shareListener) enter(a net.Addr) (netip.Prefix, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	peer, err := addr.Prefix(bits)
	if err != nil {
		return peer, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= maxRemote || l.peers[peer] >= maxRemotePeer {
		return peer, false
	}
	l.total++
	l.peers[peer]++
	return peer, true
}

func (l *shareListener) leave(peer netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.peers[peer]--; l.peers[peer] == 0 {
		delete(l.peers, peer)
	}
}

type shareConn struct {
	net.Conn
	leave func()
}

func (c *shareConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
