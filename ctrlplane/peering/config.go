package peering

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"linecrypt/ctrlplane/peering/book"
)

// Peer is another gateway.
type Peer struct {
	Name     string
	Key      ed25519.PublicKey
	Prefixes []netip.Prefix // behind it, as this gateway sees them
	Address  string         // host:port of its control plane; empty: it dials
}

// Config is what a Node is made of.
type Config struct {
	Key      ed25519.PrivateKey
	Listener net.Listener // for peers that dial; nil for none. The node closes it.
	Peers    []Peer
	Log      *slog.Logger // nil for nowhere
	// Dial opens a connection to a peer's address; nil for TCP.
	Dial  func(ctx context.Context, address string) (net.Conn, error)
	Times Times       // zero fields are DefaultTimes'
	Book  book.Params // the zero value is book.DefaultParams
}

// Times are those of connections.
type Times struct {
	Handshake  time.Duration // of a connection, until both Hellos have come
	Ping       time.Duration // between two words of this side
	Silence    time.Duration // after which a peer that says nothing is gone
	FirstRetry time.Duration // of a dial that failed; it doubles
	LastRetry  time.Duration
	Tick       time.Duration
}

// DefaultTimes are those of a gateway.
func DefaultTimes() Times {
	return Times{
		Handshake: 5 * time.Second, Ping: 5 * time.Second, Silence: 15 * time.Second,
		FirstRetry: 250 * time.Millisecond, LastRetry: 15 * time.Second, Tick: 100 * time.Millisecond,
	}
}

func (t *Times) complete() {
	d := DefaultTimes()
	for _, f := range []struct {
		is *time.Duration
		or time.Duration
	}{{&t.Handshake, d.Handshake}, {&t.Ping, d.Ping}, {&t.Silence, d.Silence}, {&t.FirstRetry, d.FirstRetry}, {&t.LastRetry, d.LastRetry}, {&t.Tick, d.Tick}} {
		if *f.is == 0 {
			*f.is = f.or
		}
	}
}

// MaxPeers is the largest number of peers.
const MaxPeers = 1024

// ErrConfig is wrapped by the errors of New.
var ErrConfig = errors.New("peers make no sense")

// check refuses what cannot be meant.
func (c *Config) check() error {
	if len(c.Key) != ed25519.PrivateKeySize {
		return fmt.Errorf("no key of this gateway: %w", ErrConfig)
	}
	return CheckPeers(c.Peers, c.Key.Public().(ed25519.PublicKey))
}

// CheckPeers refuses peers that make no sense beside a gateway's own key.
func CheckPeers(peers []Peer, own ed25519.PublicKey) error {
	if len(peers) > MaxPeers {
		return fmt.Errorf("%d peers, more than %d: %w", len(peers), MaxPeers, ErrConfig)
	}
	for i, p := range peers {
		switch {
		case len(p.Key) != ed25519.PublicKeySize:
			return fmt.Errorf("peer %s has no key: %w", p.Name, ErrConfig)
		case own.Equal(p.Key):
			return fmt.Errorf("peer %s has this gateway's own key: %w", p.Name, ErrConfig)
		case len(p.Prefixes) == 0:
			return fmt.Errorf("peer %s has no prefixes behind it: %w", p.Name, ErrConfig)
		}
		for _, q := range peers[:i] {
			if p.Name == q.Name || p.Key.Equal(q.Key) {
				return fmt.Errorf("peers %s and %s have the same name or key: %w", q.Name, p.Name, ErrConfig)
			}
		}
	}
	return nil
}
