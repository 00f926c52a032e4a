package worker

import (
	"encoding/binary"
	"sync/atomic"

	"linecrypt/flowtable"
)

const pairBits = 16

// Pairs counts encrypted connections by the two hosts' addresses, folded to a few bits. A fragment does not tell its
// ports, nor need it reach the worker that has its flow; while there may be an encrypted connection between its hosts it
// must not pass as if it were plaintext. All workers share one; it is written when a connection becomes encrypted or ends.
type Pairs struct {
	counts [1 << pairBits]atomic.Int32
}

func pairIndex(k *flowtable.Key) uint32 {
	le := binary.LittleEndian
	h := (le.Uint64(k.Inside[:])^le.Uint64(k.Outside[8:]))*0x9e3779b97f4a7c15 +
		(le.Uint64(k.Inside[8:])^le.Uint64(k.Outside[:]))*0xc2b2ae3d27d4eb4f
	h ^= h >> 29
	return uint32(h * 0xbf58476d1ce4e5b9 >> (64 - pairBits))
}

func (p *Pairs) add(k *flowtable.Key, n int32) { p.counts[pairIndex(k)].Add(n) }

// encrypted reports whether there may be an encrypted connection between the hosts of the key.
func (p *Pairs) encrypted(k *flowtable.Key) bool { return p.counts[pairIndex(k)].Load() > 0 }
