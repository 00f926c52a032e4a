package outcome

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
)

// Pen is a worker's end of a region. It neither locks nor allocates.
type Pen struct {
	r     *region
	plain uint32        // notes of connections in the clear ever
	parts [Parts]uint32 // of refused ones
	seed  maphash.Seed
}

// NewPen makes the worker's end of a region; what it writes into none is lost.
func NewPen(r Region) Pen { return Pen{r: r.mem, seed: maphash.MakeSeed()} }

// Write adds a note, in the place of the oldest of its kind and network.
func (p *Pen) Write(n *Note) {
	if p.r == nil {
		return
	}
	s := &p.r.slots[p.place(n)]
	number := p.r.written.Load() + 1
	s.number.Store(0)
	s.note = *n
	s.number.Store(number)
	p.r.written.Store(number)
}

func (p *Pen) place(n *Note) uint32 {
	if n.Kind != Refused {
		p.plain++
		return p.plain % Plains
	}
	part := p.partOf(&n.Key.Outside)
	p.parts[part]++
	return firstPart + part*PerPart + p.parts[part]%PerPart
}

var mapped = []byte{10: 0xff, 11: 0xff}

// partOf spreads the networks of far ends over the parts, in a way that nobody outside can foresee: who aims at the part of another network must
// have refused connections in all of them.
func (p *Pen) partOf(addr *[16]byte) uint32 {
	network := binary.BigEndian.Uint64(addr[:8])
	if bytes.HasPrefix(addr[:], mapped) {
		network = uint64(binary.BigEndian.Uint32(addr[12:]) >> 8)
	}
	part, _ := bits.Mul64(maphash.Comparable(p.seed, network), Parts)
	return uint32(part)
}
