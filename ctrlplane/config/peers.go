package config

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"

	"linecrypt/ctrlplane/config/keyfile"
	"linecrypt/ctrlplane/peering/identity"
)

// Peer is another gateway, with which session IDs are compared.
type Peer struct {
	Name     string
	Key      ed25519.PublicKey
	Prefixes []netip.Prefix // of the hosts behind it
	Address  string         // host:port of its control plane; empty: it dials
}

// MaxPeers is the largest number of peers of an instance.
const MaxPeers = 256

// peerKeys are the keys of an item of peers.
var peerKeys = keyfile.Table[Peer]{
	{Name: "name", Kind: keyfile.Text("one word", func(p *Peer) *string { return &p.Name }, word)},
	{Name: "key", Kind: publicKey()},
	{Name: "prefixes", Kind: keyfile.List("prefixes", func(p *Peer) *[]netip.Prefix { return &p.Prefixes }, parsePrefix, false, false)},
	{Name: "address", Kind: keyfile.Text("host:port", func(p *Peer) *string { return &p.Address }, hostPort)},
}

func publicKey() keyfile.Kind[Peer] {
	k := keyfile.Scalar("text", "public key", func(p *Peer) *ed25519.PublicKey { return &p.Key }, identity.Parse)
	k.Show = func(p *Peer) string { return identity.Public(p.Key) }
	return k
}

// parsePrefix reads a prefix, or an address, which is a prefix of all its bits.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is not a prefix: want an address and a length, for example 10.2.0.0/16", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%s has bits behind its length: did you mean %v?", s, p.Masked())
	}
	return p, nil
}

func hostPort(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err == nil && host != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
			return nil
		}
	}
	return fmt.Errorf("%q is not host:port", s)
}

func checkPeer(_ *Peer, set map[string]keyfile.Position) error {
	for _, name := range []string{"name", "key", "prefixes"} {
		if _, ok := set[name]; !ok {
			return fmt.Errorf("the key %s is missing", name)
		}
	}
	return nil
}

// validatePeers checks what involves more than one peer, or peers and other keys.
func (c *Config) validatePeers() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, c.Err("peers", fmt.Errorf(format, args...))) }
	if len(c.Peers) > 0 && c.Peering.Key == "" {
		errs = append(errs, c.Err("peering.key", errors.New("peers are listed, and this gateway has no key of its own: `linecrypt key generate FILE` makes one, and peering.key names it")))
	}
	prefixes := map[netip.Prefix]string{}
	for i, p := range c.Peers {
		for _, q := range c.Peers[:i] {
			switch {
			case p.Name == q.Name:
				fail("two peers have the name %s", p.Name)
			case p.Key.Equal(q.Key):
				fail("%s and %s have the same key", q.Name, p.Name)
			}
		}
		for _, x := range p.Prefixes {
			if other, ok := prefixes[x]; ok {
				fail("%v is behind %s and behind %s", x, other, p.Name)
			}
			prefixes[x] = p.Name
		}
		if p.Address == "" && c.Peering.Listen == "" {
			fail("%s has no address, and peering.listen is off: one of the two gateways must dial the other", p.Name)
		}
	}
	return errors.Join(errs...)
}

// unpeered reports whether hosts that lay behind a peer lie behind none any more.
func unpeered(old, fresh []Peer) bool {
	covered := func(p netip.Prefix) bool {
		return slices.ContainsFunc(fresh, func(f Peer) bool {
			return slices.ContainsFunc(f.Prefixes, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) })
		})
	}
	return slices.ContainsFunc(old, func(o Peer) bool {
		return slices.ContainsFunc(o.Prefixes, func(p netip.Prefix) bool { return !covered(p) })
	})
}
