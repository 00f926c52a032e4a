package packetpath

import (
	"fmt"
	"slices"
	"strings"

	"linecrypt/dataplane/port"
)

// Case is a way through the gateway.
type Case string

// The cases.
const (
	Seal Case = "seal" // hosts send data, far ends acknowledge
	Open Case = "open" // far ends send data, hosts acknowledge
	Both Case = "both" // both send and acknowledge
	Pass Case = "pass" // as Seal, of connections that are not encrypted
)

// Cases returns all cases.
func Cases() []Case { return []Case{Seal, Open, Both, Pass} }

// Load is what Measure runs through a World. Zero fields of the mix mean the default.
type Load struct {
	Case       Case
	Size       int // bytes of plaintext in a data segment
	DataPerAck int // data segments in a flow's turn, which one acknowledgement is for; 0: 2
	Apart      int // flows that take turns in one another, at most; 0: 64
	Lag        int // data segments between a flow's turn and its acknowledgement, more than a burst; 0: 1,024
	Batch      int // packets that are written before the clock runs; 0: 4,096, as two rings of 2,048 descriptors that are full
}

// Bounds of a Load. The flow's window and the pool of buffers hold what is in flight.
const (
	// MaxSize is the largest payload that fits a segment with timestamps and a frame's overhead within an MTU of 1,500.
	MaxSize  = 1500 - 20 - 32 - frameOverhead
	maxLag   = 4096
	maxBatch = 1 << 14
	minBatch = 256
)

func (l Load) withDefaults() Load {
	for _, d := range []struct {
		field *int
		value int
	}{{&l.DataPerAck, 2}, {&l.Apart, 64}, {&l.Lag, 1024}, {&l.Batch, 4096}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return l
}

// check refuses what cannot be run; the load has its defaults.
func (l Load) check() error {
	switch {
	case !slices.Contains(Cases(), l.Case):
		return fmt.Errorf("case %q: want one of %s", l.Case, strings.Trim(fmt.Sprint(Cases()), "[]"))
	case l.Size < 1 || l.Size > MaxSize:
		return fmt.Errorf("payload of %d bytes: want 1 to %d", l.Size, MaxSize)
	case l.DataPerAck < 1 || l.DataPerAck > 8:
		return fmt.Errorf("%d data segments to an acknowledgement: want 1 to 8", l.DataPerAck)
	case l.Apart < 1 || l.Apart > 1024:
		return fmt.Errorf("%d flows taking turns: want 1 to 1024", l.Apart)
	case l.Lag <= port.Burst || l.Lag > maxLag:
		return fmt.Errorf("lag of %d segments: want %d to %d", l.Lag, port.Burst+1, maxLag)
	case l.Batch < minBatch || l.Batch > maxBatch:
		return fmt.Errorf("batch of %d packets: want %d to %d", l.Batch, minBatch, maxBatch)
	}
	return nil
}
