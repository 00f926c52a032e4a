package batchsign

import (
	"crypto/sha256"
	"math/bits"

	"linecrypt/flowtable"
)

// Hash is a leaf or a node.
type Hash = [sha256.Size]byte

const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

func leaf(role flowtable.Role, sessionID []byte) Hash {
	return sha256.Sum256(append([]byte{leafPrefix, byte(role)}, sessionID...))
}

func node(left, right *Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = nodePrefix
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}

// split returns how many of n leaves, two or more, are left of the root: the largest power of two below n.
func split(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// depth is the longest path in a tree of n leaves.
func depth(n int) int { return bits.Len(uint(n - 1)) }

// build returns the root over leaves and appends to each leaf's path, from the leaf up.
func build(leaves []Hash, paths [][]Hash) Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := split(len(leaves))
	left, right := build(leaves[:k], paths[:k]), build(leaves[k:], paths[k:])
	for i := range paths {
		sibling := &right
		if i >= k {
			sibling = &left
		}
		paths[i] = append(paths[i], *sibling)
	}
	return node(&left, &right)
}

// climb returns the root that a path leads to from leaf number index of n, and false for a path that does not fit the tree.
func climb(h Hash, index, n int, path []Hash) (Hash, bool) {
	if n == 1 {
		return h, len(path) == 0
	}
	if len(path) == 0 {
		return h, false
	}
	sibling, below := &path[len(path)-1], path[:len(path)-1]
	if k := split(n); index < k {
		left, ok := climb(h, index, k, below)
		return node(&left, sibling), ok
	} else {
		right, ok := climb(h, index-k, n-k, below)
		return node(sibling, &right), ok
	}
}
