package ends

import (
	"encoding/binary"
	"math/bits"

	"linecrypt/dataplane/packet"
)

// blocks counts the SACK blocks that the receiver of direction d has to tell, and prepares them (RFC 2018).
func (e *Ends) blocks(f *flow, n uint32, d direction) int {
	h := &f.halves[d]
	left, k, count := h.beyond, h.got+1, 0
	for left != 0 && count < maxBlocks {
		skip := uint64(bits.TrailingZeros64(left))
		left >>= skip
		k += skip
		run := uint64(bits.TrailingZeros64(^left))
		from, to := e.place(f, n, d, false, k), e.place(f, n, d, false, k+run)
		e.seg.SACK[count] = [2]uint32{f.isn[d] + 1 + uint32(from), f.isn[d] + 1 + uint32(to)}
		left, k = left>>run, k+run
		count++
	}
	return count
}

// putBlocks writes the option behind the timestamps.
func (e *Ends) putBlocks(b []byte, count int) {
	o := b[payloadAt:]
	o[0], o[1], o[2], o[3] = packet.KindNOP, packet.KindNOP, packet.KindSACK, byte(2+count*blockLen)
	for i, s := range e.seg.SACK[:count] {
		binary.BigEndian.PutUint32(o[sackLen+i*blockLen:], s[0])
		binary.BigEndian.PutUint32(o[sackLen+i*blockLen+4:], s[1])
	}
	b[tcpAt+12] = byte((20 + stampLen + sackLen + count*blockLen) << 2)
}
