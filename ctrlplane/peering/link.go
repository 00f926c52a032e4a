package peering

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"linecrypt/ctrlplane/peering/message"
)

// Rates of what is read from a peer, in messages a second and at once. Whoever says more is read more slowly.
const (
	readRate  = 50_000
	readBurst = 100_000
)

const bufferSize = 16 << 10

// ErrVersion means that the peer speaks another version of the protocol.
var ErrVersion = errors.New("the peer speaks another version")

// errReplaced means that another connection with the peer took the place of this one.
var errReplaced = errors.New("another connection with the peer is used")

// link is one connection with a peer that has shown its key.
type link struct {
	conn   *tls.Conn
	r      *bufio.Reader
	peer   int
	dialed bool // by this side
	nonce  [message.NonceSize]byte
	since  time.Time
	wake   chan struct{} // there may be something to send
}

// greet exchanges Hellos on a fresh connection. It closes the connection where that fails.
func (n *Node) greet(ctx context.Context, conn *tls.Conn, peer int, dialed bool) (*link, error) {
	l := &link{conn: conn, r: bufio.NewReaderSize(conn, bufferSize), peer: peer, dialed: dialed, since: time.Now(), wake: make(chan struct{}, 1)}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	hello := message.Message{Kind: message.Hello, Version: message.Version, Nonce: n.nonce}
	_, err := conn.Write(hello.Append(nil))
	if err == nil {
		err = hello.Read(l.r)
	}
	switch {
	case err != nil:
	case hello.Kind != message.Hello:
		err = fmt.Errorf("%v instead of hello: %w", hello.Kind, message.ErrMessage)
	case hello.Version != message.Version:
		err = fmt.Errorf("version %d, not %d: %w", hello.Version, message.Version, ErrVersion)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("greet: %w", err)
	}
	l.nonce = hello.Nonce
	return l, nil
}

// serve carries messages both ways until the connection ends, and returns why. The node has adopted the link.
func (n *Node) serve(ctx context.Context, l *link) error {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(ctx, func() { l.conn.Close() })
	defer stop()
	_ = l.conn.SetDeadline(time.Time{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		cancel(n.write(ctx, l))
	}()
	cancel(n.read(l))
	<-done
	return context.Cause(ctx)
}

// read takes what the peer says.
func (n *Node) read(l *link) error {
	pace := pacer{last: time.Now(), left: readBurst}
	for {
		if l.r.Buffered() == 0 {
			_ = l.conn.SetReadDeadline(time.Now().Add(n.times.Silence))
		}
		var m message.Message
		if err := m.Read(l.r); err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if m.Kind == message.Hello {
			return fmt.Errorf("a second hello: %w", message.ErrMessage)
		}
		if d := pace.take(time.Now()); d > 0 {
			n.paced.Add(1)
			time.Sleep(d)
		}
		if !n.receive(l, &m) {
			return errReplaced
		}
	}
}

// write sends what there is to say, and a Ping where there is nothing.
func (n *Node) write(ctx context.Context, l *link) error {
	ping := time.NewTicker(n.times.Ping)
	defer ping.Stop()
	var b []byte
	for {
		idle := false
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.wake:
		case <-ping.C:
			idle = true
		}
		for {
			if b = n.gather(l, b[:0]); len(b) == 0 && idle {
				b = (&message.Message{Kind: message.Ping}).Append(b)
			}
			if len(b) == 0 {
				break
			}
			idle = false
			_ = l.conn.SetWriteDeadline(time.Now().Add(n.times.Silence))
			if _, err := l.conn.Write(b); err != nil {
				return fmt.Errorf("write: %w", err)
			}
		}
	}
}

// pacer is a bucket of messages.
type pacer struct {
	last time.Time
	left float64
}

// take takes one message out and returns how long to wait for it.
func (p *pacer) take(now time.Time) time.Duration {
	p.left = min(p.left+now.Sub(p.last).Seconds()*readRate, readBurst) - 1
	p.last = now
	if p.left >= 0 {
		return 0
	}
	return time.Duration(-p.left / readRate * float64(time.Second))
}
