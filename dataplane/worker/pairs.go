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
	key    flowtable.FoldKey
	counts [1 << pairBits]atomic.Int32
}

// NewPairs returns a count of none.
func NewPairs() *Pairs { return &Pairs{key: flowtable.NewFoldKey()} }

func (p *Pairs) index(k *flowtable.Key) uint32 {
	le := binary.LittleEndian
	in, out := p.key.Fold(le.Uint64(k.Inside[:]), le.Uint64(k.Inside[8:])), p.key.Fold(le.Uint64(k.Outside[:]), le.Uint64(k.Outside[8:]))
	return uint32(p.key.Fold(in, out) >> (64 - pairBits))
}

func (p *Pairs) add(k *flowtable.Key, n int32) { p.counts[p.index(k)].Add(n) }

// encrypted reports whether there may be an encrypted connection between the hosts of the key.
func (p *Pairs) encrypted(k *flowtable.Key) bool { return p.counts[p.index(k)].Load() > 0 }
