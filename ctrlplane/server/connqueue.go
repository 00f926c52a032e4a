package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"

	"linecrypt/ctrlplane/connshare"
)

// queueListener bounds the connections of an http.Server by what they do. Those on which nothing is asked at the moment, because they are kept
// for a later question or belong to a stranger who has not shown a certificate, give way to newer ones.
type queueListener struct {
	net.Listener
	waiting connshare.Queue
	asking  connshare.Shares
}

// queued bounds the connections that srv takes from l: all and those of one source, on which something is asked, and as many on which not.
func queued(l net.Listener, srv *http.Server, all, source int) net.Listener {
	q := &queueListener{Listener: l, waiting: connshare.Queue{All: all, Source: source}, asking: connshare.Shares{All: all, Source: source}}
	srv.ConnState = q.state
	outer := srv.ConnContext
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if outer != nil {
			ctx = outer(ctx, c)
		}
		return context.WithValue(ctx, queueKey{}, queueConnOf(c))
	}
	h := srv.Handler
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, _ := r.Context().Value(queueKey{}).(*queueConn); c != nil && c.isOver() {
			panic(http.ErrAbortHandler) // a question is read before its connection is counted
		}
		h.ServeHTTP(w, r)
	})
	return q
}

type queueKey struct{}

// queueConnOf returns the listener's connection below one of an http.Server, nil where there is none.
func queueConnOf(c net.Conn) *queueConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	q, _ := c.(*queueConn)
	return q
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
	q := queueConnOf(c)
	switch {
	case q == nil:
	case s == http.StateActive: // a question has come, so that a certificate, where one is wanted, has been shown
		leave := l.asking.Enter(q.RemoteAddr())
		if leave == nil {
			q.Close()
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

func (c *queueConn) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// Close implements net.Conn.
func (c *queueConn) Close() error {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	c.become(nil)
	return c.Conn.Close()
}
