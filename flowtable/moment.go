package flowtable

import "math/bits"

// Moment is a time in the life of a connection in four bytes, to an eighth of a second and for 18 years from when its record was handed
// out; 0 is none. It is for timers of minutes and hours.
type Moment uint32

// momentShift is the logarithm of a Moment's unit in ns: 134 ms.
const momentShift = 27

// Moment returns a time, in ns of the monotonic clock, rounded down; the last one there is for a later one.
func (r *Record) Moment(t int64) Moment {
	return Moment(min(uint64(max(t-r.Rare.Created, 0))>>momentShift+1, 1<<32-1))
}

// At returns a moment in ns of the monotonic clock, 0 for none.
func (r *Record) At(m Moment) int64 {
	if m == 0 {
		return 0
	}
	return r.Rare.Created + int64(m-1)<<momentShift
}

// RekeyLimits are when a connection's keys are replaced, each as the logarithm to base 2 of a number, rounded down; 0 is as the gateway
// is configured.
type RekeyLimits struct {
	Frames uint8
	Bytes  uint8
	Time   uint8 // ns
}

// Log2 returns the logarithm of a limit, rounded down, of which 0 is none; a limit of 1 is taken for 2.
func Log2(limit uint64) uint8 {
	if limit == 0 {
		return 0
	}
	return uint8(max(bits.Len64(limit)-1, 1))
}

// Limit returns the limit that a logarithm stands for, or the one given for none.
func Limit(log uint8, none uint64) uint64 {
	if log == 0 || log > 63 {
		return none
	}
	return 1 << log
}
