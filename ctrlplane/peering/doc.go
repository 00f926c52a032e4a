// Package peering lets gateways that list each other as peers tell each other the IDs of the sessions between their hosts, so that each
// knows which of its sessions nobody is in the middle of. It keeps one connection with each peer: TLS 1.3, on which both sides show
// that they have the Ed25519 key that the other has listed; nothing else of a certificate counts, neither names nor times, so that no
// clock and no authority is needed.
//
// What is told and what follows from it is package book's, which is pure; how it looks as bytes package message's; keys and their files
// are package identity's. This package has the connections: it dials and listens, settles which connection stays where both sides
// dial, notices a peer that is gone, and comes back to it.
//
//	tls.go     both sides' certificates, and the look at the other side's key
//	dial.go    to each peer that has an address, with a back-off, while there is no connection
//	listen.go  bounded, by source and overall, before a key was shown
//	link.go    one connection: Hello, then messages both ways at a bounded rate
//	node.go    sessions, verdicts
//	peers.go   who the peers are, which may change at any time
//
// Where both sides dial at once, the connection stays that the side with the lower public key has dialled. A peer that was started anew
// is known by its Hello and replaces its older connection at once.
package peering
