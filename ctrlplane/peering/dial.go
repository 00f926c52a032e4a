package peering

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"time"
)

// keepDialing dials a peer whenever there is no connection with it, until ctx is done.
func (n *Node) keepDialing(ctx context.Context, peer int) {
	p := n.peers[peer]
	retry := n.times.FirstRetry
	for ctx.Err() == nil {
		if gone := n.connectedUntil(peer); gone != nil {
			select {
			case <-gone:
				retry = n.times.FirstRetry
			case <-ctx.Done():
			}
			continue
		}
		began := time.Now()
		err := n.dial(ctx, peer)
		if ctx.Err() != nil {
			return
		}
		n.failed(peer, err)
		if time.Since(began) > n.times.Silence {
			retry = n.times.FirstRetry // it was of use for a while
		}
		n.log.Debug("no connection with a peer", "peer", p.Name, "address", p.Address, "error", err)
		// Two gateways that lose each other must not try at the same moments for ever.
		select {
		case <-time.After(retry/2 + rand.N(retry/2+1)):
		case <-ctx.Done():
		}
		retry = min(2*retry, n.times.LastRetry)
	}
}

// dial connects to a peer and serves the connection to its end.
func (n *Node) dial(ctx context.Context, peer int) error {
	p := n.peers[peer]
	early, cancel := context.WithTimeout(ctx, n.times.Handshake)
	defer cancel()
	raw, err := n.dialer(early, p.Address)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	_ = raw.SetDeadline(time.Now().Add(n.times.Handshake))
	conn := tls.Client(raw, clientTLS(n.cert, func(key ed25519.PublicKey) bool { return key.Equal(p.Key) }))
	if err := conn.HandshakeContext(early); err != nil {
		raw.Close()
		return fmt.Errorf("connect: %w", err)
	}
	l, err := n.greet(early, conn, peer, true)
	if err != nil {
		return err
	}
	return n.run(ctx, l)
}

func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	return (&net.Dialer{KeepAlive: -1}).DialContext(ctx, "tcp", address)
}
