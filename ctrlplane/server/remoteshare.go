package server

import (
	"net"
	"sync"
	"time"

	"linecrypt/ctrlplane/connshare"
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
	shares connshare.Shares
}

func (l *shareListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if leave := l.shares.Enter(c.RemoteAddr()); leave != nil {
			return &shareConn{Conn: c, leave: leave}, nil
		}
		c.Close()
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
