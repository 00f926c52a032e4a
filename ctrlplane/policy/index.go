package policy

import (
	"cmp"
	"math/bits"
	"slices"
)

// An index finds the first of many boxes that a connection fits: aggregated bit vectors (Baboescu and Varghese, "Scalable packet
// classification", SIGCOMM 2001). Each field of a connection has a tree of ranges that nest in one another; a node knows the rules of
// which a range is exactly its own, so that memory grows with the number of ranges alone. The rules that a value fits are those of the
// nodes above its place. A rule is a bit, 64 of them a block; a summary says in which blocks a node has bits at all, and blocks are looked
// at in the order of the rules, and only where every field has some.

// The fields of a connection.
const (
	fieldOutside = iota
	fieldInside
	fieldOutsidePort
	fieldInsidePort
	fieldVLAN
	numFields
)

const (
	numBlocks = MaxRules / 64
	sumWords  = numBlocks / 64
	// fewBlocks is how many blocks of a node are searched one by one.
	fewBlocks = 8
)

// number is a value of a field: an address, a port or a VLAN.
type number struct{ hi, lo uint64 }

func (n number) compare(o number) int {
	if c := cmp.Compare(n.hi, o.hi); c != 0 {
		return c
	}
	return cmp.Compare(n.lo, o.lo)
}

// next is n+1, and false behind the last one.
func (n number) next() (number, bool) {
	lo, carry := bits.Add64(n.lo, 1, 0)
	hi, carry := bits.Add64(n.hi, 0, carry)
	return number{hi, lo}, carry == 0
}

type summary [sumWords]uint64

// index is of connections in one direction, of one IP version.
type index struct {
	fields [numFields]field
	words  int // of a summary that are in use
	first  int // the first rule of all, -1 none
}

// field is the tree of one field.
type field struct {
	starts  []number // where places begin, the first at 0
	deepest []int32  // node of each place
	nodes   []node   // the first is the whole field
	blocks  []uint16
	bits    []uint64 // by blocks
	sums    []ranked
}

// node is a range.
type node struct {
	parent int32  // -1 none
	first  uint32 // of its blocks
	n      uint16
	many   int32 // place in sums where it has more than fewBlocks, else -1
}

// ranked is the summary of a node that has many blocks, and how many there are before each of its words.
type ranked struct {
	in     summary
	before [sumWords]uint16
}

// place returns the innermost node that a value lies in. The search has no branch to mispredict.
func (f *field) place(v number) int32 {
	low, n := 0, len(f.starts)
	for n > 1 {
		half := n >> 1
		s := &f.starts[low+half]
		_, less := bits.Sub64(v.lo, s.lo, 0)
		_, less = bits.Sub64(v.hi, s.hi, less)
		low += half & (int(less) - 1)
		n -= half
	}
	return f.deepest[low]
}

// summarize adds the blocks of a node and of those around it.
func (f *field) summarize(at int32, s *summary, words int) {
	for ; at >= 0; at = f.nodes[at].parent {
		n := &f.nodes[at]
		if n.many >= 0 {
			in := &f.sums[n.many].in
			for i := range words {
				s[i] |= in[i]
			}
			continue
		}
		for _, b := range f.blocks[n.first : n.first+uint32(n.n)] {
			s[b>>6] |= 1 << (b & 63)
		}
	}
}

// rules returns the rules of one block that a node and those around it have.
func (f *field) rules(at int32, block uint16) uint64 {
	var all uint64
	for ; at >= 0; at = f.nodes[at].parent {
		n := &f.nodes[at]
		if n.many < 0 {
			for i, b := range f.blocks[n.first : n.first+uint32(n.n)] {
				if b == block {
					all |= f.bits[n.first+uint32(i)]
				}
			}
			continue
		}
		r := &f.sums[n.many]
		if in, bit := r.in[block>>6], uint64(1)<<(block&63); in&bit != 0 {
			all |= f.bits[n.first+uint32(r.before[block>>6])+uint32(bits.OnesCount64(in&(bit-1)))]
		}
	}
	return all
}

// looked is a field in which the rules differ, and where a connection lies in it.
type looked struct {
	f      *field
	at     int32
	blocks int // in which it has rules
}

// find returns the number of the first rule that fits, -1 where none does. It takes no lock and allocates nothing.
func (x *index) find(v *[numFields]number) int {
	var in [numFields]looked
	n := 0
	var candidates summary
	for i := range x.words {
		candidates[i] = ^uint64(0)
	}
	for f := range x.fields {
		fd := &x.fields[f]
		if len(fd.nodes) == 1 && fd.nodes[0].n > 0 {
			continue // no rule says anything of it
		}
		l := looked{f: fd, at: fd.place(v[f])}
		var s summary
		fd.summarize(l.at, &s, x.words)
		var left uint64
		for i := range x.words {
			candidates[i] &= s[i]
			left |= candidates[i]
			l.blocks += bits.OnesCount64(s[i])
		}
		if left == 0 {
			return -1
		}
		// The field that fewest rules go with comes first.
		j := n
		for ; j > 0 && in[j-1].blocks > l.blocks; j-- {
			in[j] = in[j-1]
		}
		in[j] = l
		n++
	}
	if n == 0 {
		return x.first
	}
	for i := range x.words {
		for c := candidates[i]; c != 0; c &= c - 1 {
			block := uint16(i<<6 | bits.TrailingZeros64(c))
			fit := ^uint64(0)
			for j := 0; j < n && fit != 0; j++ {
				fit &= in[j].f.rules(in[j].at, block)
			}
			if fit != 0 {
				return int(block)<<6 | bits.TrailingZeros64(fit)
			}
		}
	}
	return -1
}

// span is a range of a field, of a rule. Spans of one field nest or are apart.
type span struct {
	low, high number
	rule      int
}

// newField makes the tree of spans over 0 to top.
func newField(spans []span, top number) field {
	spans = append(spans, span{high: top, rule: -1})
	slices.SortFunc(spans, func(a, b span) int {
		return cmp.Or(a.low.compare(b.low), b.high.compare(a.high), cmp.Compare(a.rule, b.rule))
	})
	var f field
	var open []span // the ranges that the next span lies in, with their nodes as rules
	begin := func(at number, n int32) {
		if last := len(f.starts) - 1; last >= 0 && f.starts[last] == at {
			f.deepest[last] = n
			return
		}
		f.starts, f.deepest = append(f.starts, at), append(f.deepest, n)
	}
	closeBefore := func(low *number) {
		for len(open) > 0 && (low == nil || open[len(open)-1].high.compare(*low) < 0) {
			behind, ok := open[len(open)-1].high.next()
			open = open[:len(open)-1]
			if ok && len(open) > 0 {
				begin(behind, int32(open[len(open)-1].rule))
			}
		}
	}
	for i := 0; i < len(spans); {
		s := spans[i]
		closeBefore(&s.low)
		n := node{parent: -1, first: uint32(len(f.blocks)), many: -1}
		if len(open) > 0 {
			n.parent = int32(open[len(open)-1].rule)
		}
		for ; i < len(spans) && spans[i].low == s.low && spans[i].high == s.high; i++ {
			f.add(&n, spans[i].rule)
		}
		f.summary(&n)
		open = append(open, span{s.low, s.high, len(f.nodes)})
		begin(s.low, int32(len(f.nodes)))
		f.nodes = append(f.nodes, n)
	}
	closeBefore(nil)
	return f
}

// add adds a rule to the node that is being made; rules come in their order.
func (f *field) add(n *node, rule int) {
	if rule < 0 {
		return
	}
	block, bit := uint16(rule>>6), uint64(1)<<(rule&63)
	if n.n > 0 && f.blocks[len(f.blocks)-1] == block {
		f.bits[len(f.bits)-1] |= bit
		return
	}
	f.blocks, f.bits = append(f.blocks, block), append(f.bits, bit)
	n.n++
}

// summary makes the summary of a node that has many blocks.
func (f *field) summary(n *node) {
	if n.n <= fewBlocks {
		return
	}
	var r ranked
	for _, b := range f.blocks[n.first:] {
		r.in[b>>6] |= 1 << (b & 63)
	}
	for i := 1; i < sumWords; i++ {
		r.before[i] = r.before[i-1] + uint16(bits.OnesCount64(r.in[i-1]))
	}
	n.many = int32(len(f.sums))
	f.sums = append(f.sums, r)
}
