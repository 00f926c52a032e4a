package mbuf

import "unsafe"

//go:generate sh -c "cd _gen && go run . -out ../prefetch_amd64.s -stubs ../prefetch_stubs_amd64.go -pkg mbuf"

const lineSize = 64

// What this file holds asks for lines of the cache without waiting for them, so that they come all at once and while something else is
// done: a store to a line that is not there holds up all stores behind it. A core waits for some twenty lines at a time and forgets what
// it is asked for beyond that. Lines of packets and of what describes them are asked for as what will be written (_gen/lines says why).

// PrefetchStructs asks for the first line of each Mbuf, where its bounds and its references are.
func PrefetchStructs(ms []*Mbuf) {
	if len(ms) > 0 {
		prefetchFirst(bytesOf(ms), len(ms))
	}
}

// PrefetchStarts asks for the first line of each packet, where that of its Mbuf is there.
func PrefetchStarts(ms []*Mbuf) {
	if len(ms) > 0 {
		prefetchStarts(bytesOf(ms), len(ms))
	}
}

// PrefetchHeaders asks for the two lines of each packet in which its headers lie, where the first line of its Mbuf is there.
func PrefetchHeaders(ms []*Mbuf) {
	if len(ms) > 0 {
		prefetchHeaders(bytesOf(ms), len(ms))
	}
}

// PrefetchPacket asks for the lines of a packet that are read and written where it is translated, where the first line of its Mbuf is there:
// the second one of the Mbuf, those of its headers, and if it has data the one in front of them, into which they may grow, and one with
// data. It asks for the line of p, and two from q on, as well: where the caller notes what becomes of the packet.
func PrefetchPacket(m *Mbuf, p, q unsafe.Pointer) {
	prefetchPacket((*byte)(unsafe.Pointer(m)), (*byte)(p), (*byte)(q))
}

// PrefetchMemory asks for a number of cache lines, not 0, the first of which has p in it. It is for what is no buffer.
func PrefetchMemory(p unsafe.Pointer, lines int) { prefetchLines((*byte)(p), lines) }

// PrefetchEvery asks for the lines of a number of places, not 0, the first of which is p, that lie so many bytes apart.
func PrefetchEvery(p unsafe.Pointer, stride uintptr, count int) {
	prefetchEvery((*byte)(p), stride, count)
}

// PrefetchRow asks for RowLines lines in a row, the first of which has row in it, and for the one of other.
func PrefetchRow(row, other unsafe.Pointer) { prefetchRow((*byte)(row), (*byte)(other)) }

// RowLines is how many lines PrefetchRow asks for in a row.
const RowLines = 5

// PrefetchFour asks for the lines of four addresses, which may be the same.
func PrefetchFour(a, b, c, d unsafe.Pointer) {
	prefetchFour((*byte)(a), (*byte)(b), (*byte)(c), (*byte)(d))
}

func bytesOf(ms []*Mbuf) **byte { return (**byte)(unsafe.Pointer(unsafe.SliceData(ms))) }
