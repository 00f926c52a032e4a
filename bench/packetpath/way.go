package packetpath

import "linecrypt/flowtable"

// way is one direction of data: who sends when, how far all have come, and where in the streams a load began. Between two loads all
// flows have sent as much and everything is acknowledged, so that the same is true of each.
type way struct {
	order
	sent  int64 // data segments
	acked int64 // turns
	begun int64 // segments sent before the poll being made
	owed  int64 // data segments for which no acknowledgement has gone, as far as the mix is concerned

	until int64  // data is sent while that many segments have not been
	p, w  uint64 // where in the plaintext stream and on the wire the load's first segments begin
	size  uint64 // bytes of a segment, and of its frame
	frame uint64
}

// at returns the position behind the first n segments of a flow, in the stream as a side sees it.
func (y *way) at(s flowtable.Side, n int64) uint64 {
	if s == flowtable.Inside {
		return y.p + uint64(n)*y.size
	}
	return y.w + uint64(n)*y.frame
}

// segments is the inverse of at for the low 32 bits of a position that no flow is far from, n segments on: ok is false within a
// segment.
func (y *way) segments(s flowtable.Side, low uint32, n int64) (segments int64, ok bool) {
	near := y.at(s, n)
	delta := int64(int32(low - uint32(near)))
	unit := int64(y.size)
	if s == flowtable.Outside {
		unit = int64(y.frame)
	}
	return n + delta/unit, delta%unit == 0
}

// due reports whether the next acknowledgement goes: the mix has room for it, and what it is for went long enough before.
func (y *way) due(lag int) bool {
	return y.owed >= y.turn && y.last(y.acked)+int64(lag) < y.begun
}

// sends reports whether there is data to be sent.
func (y *way) sends() bool { return y.sent < y.until }

// levelOut lets data be sent only until all flows have sent as much.
func (y *way) levelOut() {
	round := y.turn * y.flows
	y.until = min(y.until, (y.sent+round-1)/round*round)
}

// drain lets acknowledgements go for everything, with no data beside.
func (y *way) drain() { y.until, y.owed, y.begun = y.sent, 1<<62, y.sent+maxLag+1 }

// idle reports whether everything is acknowledged.
func (y *way) idle() bool { return y.acked*y.turn == y.sent }
