package ends

import "linecrypt/bench/pktgen/scenario"

// mix is the sizes of the segments of a stream: they come round and round, and each connection begins at another place (its phase).
// Overhead is what a segment takes of the stream beside its data.
type mix struct {
	sizes    []int    // of one round, twice
	before   []uint64 // stream bytes before each of them
	round    uint64   // segments
	bytes    uint64   // stream bytes of a round
	overhead uint64
}

// maxRound bounds how many segments a round has.
const maxRound = 64

func newMix(sizes []scenario.Size, overhead int) mix {
	m := mix{overhead: uint64(overhead)}
	var round []int
	// Spread each size evenly: whoever is furthest behind its share is next.
	total := 0
	for _, s := range sizes {
		total += s.Weight
	}
	had := make([]int, len(sizes))
	for i := range min(total, maxRound) {
		best, behind := 0, -1.0
		for j, s := range sizes {
			if d := float64((i+1)*s.Weight)/float64(total) - float64(had[j]); d > behind {
				best, behind = j, d
			}
		}
		had[best]++
		round = append(round, sizes[best].Bytes)
	}
	m.round = uint64(len(round))
	m.sizes = append(append(m.sizes, round...), round...)
	at := uint64(0)
	for i, s := range m.sizes {
		if i == len(round) {
			m.bytes = at
		}
		m.before = append(m.before, at)
		at += uint64(s + overhead)
	}
	return m
}

// phase returns where connection n begins.
func (m *mix) phase(n uint32) uint64 {
	if m.round == 1 {
		return 0
	}
	return uint64(n*2654435761>>8) % m.round
}

// size returns the bytes of data of segment k.
func (m *mix) size(k, phase uint64) int {
	if m.round == 1 {
		return m.sizes[0]
	}
	return m.sizes[phase+k%m.round]
}

// pos returns where segment k begins in the stream.
func (m *mix) pos(k, phase uint64) uint64 {
	if m.round == 1 {
		return k * m.bytes
	}
	return k/m.round*m.bytes + m.before[phase+k%m.round] - m.before[phase]
}

// index returns the segment that holds the byte at pos, and whether it begins there.
func (m *mix) index(pos, phase uint64) (k uint64, begins bool) {
	k = pos / m.bytes
	if m.round == 1 {
		return k, k*m.bytes == pos
	}
	k *= m.round
	for m.pos(k+1, phase) <= pos {
		k++
	}
	return k, m.pos(k, phase) == pos
}
