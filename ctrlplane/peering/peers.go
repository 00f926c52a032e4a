package peering

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"linecrypt/ctrlplane/peering/book"
)

// errUnlisted means that a key was a peer's until a moment ago.
var errUnlisted = errors.New("the peer is not listed any more")

// SetPeers replaces the peers, at any time. Who they are goes by their keys: one that stays keeps its connection and its sessions,
// whatever its name and address are now, and one whose key has changed is another one. Sessions with peers that are gone are nobody's
// then, and so are those whose far end lies behind no peer now, or behind another one that is to say what it knows; they are returned, to be
// entered again where they belong. What a peer has authenticated stays so when its far end has moved to another, as long as both are
// listed. An error wraps ErrConfig, and changes nothing.
func (n *Node) SetPeers(peers []Peer) (released []book.Session, err error) {
	if err := CheckPeers(peers, n.own); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	numbers := make([]int, len(peers))
	behind := make([][]netip.Prefix, len(n.peers), len(n.peers)+len(peers))
	for i, p := range peers {
		at, known := n.listed(p.Key)
		if !known {
			at = len(behind)
			behind = append(behind, nil)
		}
		numbers[i], behind[at] = at, p.Prefixes
	}
	prefixes, err := book.NewPrefixes(behind)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrConfig)
	}
	for i, p := range n.peers {
		p.out = p.out || behind[i] == nil
	}
	for i, p := range peers {
		if numbers[i] == len(n.peers) {
			n.peers = append(n.peers, &peerState{moved: make(chan struct{})})
			n.book.AddPeer()
		}
		n.peers[numbers[i]].Peer = p
	}
	n.prefixes.Store(prefixes)
	for i, p := range n.peers {
		released = append(released, n.book.Release(i, func(s *book.Session) bool {
			at, ok := prefixes.Find(s.Tuple.Outside)
			return !p.out && ok && (s.State == book.Authenticated || at == i)
		})...)
		n.follow(i)
	}
	n.forgetVerdicts(released)
	return released, nil
}

// follow has a peer's connection be as it is listed now. The caller holds n.mu.
func (n *Node) follow(peer int) {
	p := n.peers[peer]
	close(p.moved)
	p.moved = make(chan struct{})
	if p.out && p.link != nil {
		p.link.conn.NetConn().Close()
	}
	n.settle(peer)
	n.dialFrom(peer)
}

// dialFrom begins to dial a peer that has an address, unless that goes on already. The caller holds n.mu.
func (n *Node) dialFrom(peer int) {
	p := n.peers[peer]
	if n.ctx == nil || p.dialing || !p.toDial() {
		return
	}
	p.dialing = true
	ctx := n.ctx
	n.running.Go(func() { n.keepDialing(ctx, peer) })
}

// toDial reports whether this side is to dial a peer.
func (p *peerState) toDial() bool { return !p.out && p.Address != "" }

// forgetVerdicts takes verdicts back that were not fetched, about sessions for which a peer's word does not count any more.
func (n *Node) forgetVerdicts(released []book.Session) {
	gone := make(map[[33]byte]bool, len(released))
	for i := range released {
		gone[released[i].ID] = true
	}
	n.verdicts = slices.DeleteFunc(n.verdicts, func(v book.Verdict) bool { return gone[v.Session.ID] })
}
