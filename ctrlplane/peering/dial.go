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

// keepDialing dials a peer whenever there is no connection with it, until ctx is done or the peer has no address any more.
func (n *Node) keepDialing(ctx context.Context, peer int) {
	retry := n.times.FirstRetry
	for ctx.Err() == nil {
		p, gone, moved, ok := n.listing(peer)
		if !ok {
			return
		}
		if gone != nil {
			select {
			case <-gone:
				retry = n.times.FirstRetry
			case <-moved:
			case <-ctx.Done():
			}
			continue
		}
		began := time.Now()
		err := n.dial(ctx, peer, &p)
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
			retry = min(2*retry, n.times.LastRetry)
		case <-moved:
			retry = n.times.FirstRetry
		case <-ctx.Done():
		}
	}
}

// listing returns a peer as it is listed, and channels that are closed when its connection ends, nil where there is none, and when the
// list changes. False: it is not to be dialled any more, and whoever asked ends.
func (n *Node) listing(peer int) (p Peer, gone, moved <-chan struct{}, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.peers[peer]
	if !s.toDial() {
		s.dialing = false
		return p, nil, nil, false
	}
	if s.link != nil {
		gone = s.gone
	}
	return s.Peer, gone, s.moved, true
}

// dial connects to a peer and serves the connection to its end.
func (n *Node) dial(ctx context.Context, peer int, p *Peer) error {
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
