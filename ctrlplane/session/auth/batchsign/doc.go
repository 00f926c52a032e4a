// Package batchsign lets a server that accepts many tcpcrypt connections authenticate all of them with one signature: it signs the
// root of a Merkle tree over their session IDs, and gives each client the few hashes that lead from its session ID to the root. A
// client that knows the server's public key so verifies that the server has the same connection: somebody in the middle has two
// connections with two session IDs, and no proof for the client's.
//
//	leaf       SHA-256(0x00 || role of the signer || session ID)
//	node       SHA-256(0x01 || left || right)
//	signature  Ed25519 over "linecrypt batch of session IDs, version 1" || 0x00 || number of leaves (8 bytes) || root
//
// The tree is that of RFC 6962 section 2.1: leaves and nodes are hashed apart, so that no node passes for a leaf, and a number of
// leaves that is no power of two needs no padding. The signer's role (A or B) is in the leaf, so that a signature cannot be read as
// the other end's (RFC 8547 section 8.3). A session ID is never used twice, so that nothing can be replayed.
//
// It authenticates the signer to the verifier, not the verifier to the signer. What a client sent before it had verified the proof may
// have been read and changed by anybody.
//
// Signer gathers session IDs for a moment and signs them together; Sign does one batch.
package batchsign
