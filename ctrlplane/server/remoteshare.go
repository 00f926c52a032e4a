package server

import (
	"crypto/tls"
	"net"
	"net/http"
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

// queueListener bounds connections of hosts by what they do. Those on which nothing is asked at the moment, because they are kept for a later
// question or belong to a stranger who has not shown a certificate, give way to newer ones.
type queueListener struct {
	net.Listener
	waiting connshare.Queue
	asking  connshare.Shares
}

// Accept implements net.Listener.
func (l *queueListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	q := &queueConn{Conn: c, l: l}
	q.wait()
	return q, nil
}

// state is told by an http.Server what a connection does.
func (l *queueListener) state(c net.Conn, s http.ConnState) {
	t, ok := c.(*tls.Conn)
	if !ok {
		return
	}
	q, ok := t.NetConn().(*queueConn)
	switch {
	case !ok:
	case s == http.StateActive: // a question has come, so that a certificate has been shown
		leave := l.asking.Enter(q.RemoteAddr())
		if leave == nil {
			q.Conn.Close()
			return
		}
		q.become(leave)
	case s == http.StateIdle:
		q.wait()
	}
}

// queueConn is a connection in one of a listener's counts.
type queueConn struct {
	net.Conn
	l *queueListener

	mu    sync.Mutex
	leave func()
	over  bool
}

func (c *queueConn) wait() {
	c.become(c.l.waiting.Enter(c.RemoteAddr(), func() { c.Conn.Close() }))
}

// become moves the connection into the count that leave is of, or out of all when it is over.
func (c *queueConn) become(leave func()) {
	c.mu.Lock()
	old := c.leave
	c.leave = leave
	if c.over {
		c.leave = nil
	}
	over := c.over
	c.mu.Unlock()
	if old != nil {
		old()
	}
	if over && leave != nil {
		leave()
	}
}

// Close implements net.Conn.
func (c *queueConn) Close() error {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	c.become(nil)
	return c.Conn.Close()
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
