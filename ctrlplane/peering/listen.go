package peering

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"linecrypt/ctrlplane/connshare"
)

// Bounds of connections that have not shown a key yet: of all sources, and of one /24 or /64. The oldest go for newer ones.
const (
	maxStrangers       = 64
	maxStrangersSource = 8
)

// accept takes connections of peers until ctx is done.
func (n *Node) accept(ctx context.Context) {
	config := serverTLS(n.cert, func(key ed25519.PublicKey) bool { _, ok := n.peerOf(key); return ok })
	seen := connshare.Queue{All: maxStrangers, Source: maxStrangersSource}
	stop := context.AfterFunc(ctx, func() { n.listener.Close() })
	defer stop()
	for ctx.Err() == nil {
		raw, err := n.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			n.log.Debug("accept a peer", "error", err) // of file descriptors there are too few, for example
			time.Sleep(n.times.Tick)
			continue
		}
		known := seen.Enter(raw.RemoteAddr(), func() { raw.Close() })
		if known == nil {
			n.refused.Add(1)
			raw.Close()
			continue
		}
		n.running.Go(func() {
			l := n.welcome(ctx, tls.Server(raw, config))
			known()
			if l == nil {
				return
			}
			err := n.run(ctx, l)
			n.failed(l.peer, err)
		})
	}
}

// welcome lets the other side show its key, and greets it; nil where that fails.
func (n *Node) welcome(ctx context.Context, conn *tls.Conn) *link {
	early, cancel := context.WithTimeout(ctx, n.times.Handshake)
	defer cancel()
	_ = conn.SetDeadline(time.Now().Add(n.times.Handshake))
	var l *link
	err := conn.HandshakeContext(early)
	if err == nil {
		state := conn.ConnectionState()
		if peer, ok := n.peerOf(keyOf(&state)); ok {
			l, err = n.greet(early, conn, peer, false)
		} else {
			err = errUnlisted
		}
	}
	if err != nil {
		conn.Close()
		n.refused.Add(1)
		n.log.Debug("a connection is refused", "from", conn.RemoteAddr().String(), "error", err)
		return nil
	}
	return l
}
