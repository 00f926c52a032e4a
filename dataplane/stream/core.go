package stream

import (
	"fmt"

	"linecrypt/flowtable"
)

// Core translates the flows of one worker. It is not safe for concurrent use.
type Core struct {
	cfg Config
	n   *[NumCounters]uint64
}

type sealRef struct{}

type openRef struct{}

// NewCore makes a Core; all memory it will ever use is allocated here. The error names the setting that is wrong.
func NewCore(cfg Config) (*Core, error) {
	if cfg.Cache == nil || cfg.Engine == nil {
		return nil, fmt.Errorf("stream core: no buffer cache or no crypto engine")
	}
	return &Core{cfg: cfg, n: cfg.Counters}, nil
}

// Start initialises both halves of a record once the ISNs, MSS and window scales of both ends are in r.Host and r.Peer and
// r.HostFlags says what was agreed. It also takes the windows in r.Host.Win and r.Peer.Win, in bytes.
func (c *Core) Start(idx flowtable.Index, r *flowtable.Record, now int64) {}

// QueueInit sends the gateway's own Init message at wire position 0, and again until it is acknowledged. msg is copied.
// It reports false where no buffer is free; the caller tries again later.
func (c *Core) QueueInit(idx flowtable.Index, r *flowtable.Record, msg []byte, now int64, out *Output) bool {
	return false
}

// InstallKeys expands the keys and processes what arrived behind the peer's Init message. Both Init messages must have
// passed. The error is for the log; the connection is then aborted, with the RSTs in out.
func (c *Core) InstallKeys(idx flowtable.Index, r *flowtable.Record, keys *Keys, now int64, out *Output) error {
	return nil
}

// EgressSegment takes a segment from the host.
func (c *Core) EgressSegment(idx flowtable.Index, r *flowtable.Record, seg *Segment, now int64, out *Output) {
}

// IngressSegment takes a segment from the wire.
func (c *Core) IngressSegment(idx flowtable.Index, r *flowtable.Record, seg *Segment, now int64, out *Output) {
}

// Sealed takes the results of out.Seals and empties it.
func (c *Core) Sealed(out *Output, now int64) {}

// Opened takes the results of out.Opens and empties it; it delivers, and may add emits and, for rekeying, seals.
func (c *Core) Opened(out *Output, now int64) {}

// Timeout does what is due at now.
func (c *Core) Timeout(idx flowtable.Index, r *flowtable.Record, now int64, out *Output) {}

// Deadline returns when Timeout wants to be called, in ns of the caller's clock, 0 for never. It changes with every other
// call on the record. A time that has passed means as soon as possible.
func (c *Core) Deadline(r *flowtable.Record) int64 { return 0 }

// Rekey initiates rekeying (RFC 8548 section 3.8) with an empty frame and reports whether it did: not while the last
// rekeying is unanswered or after the FIN.
func (c *Core) Rekey(idx flowtable.Index, r *flowtable.Record, now int64, out *Output) bool {
	return false
}

// Abort resets the connection on both sides. The buffers are freed by a later Timeout or Release.
func (c *Core) Abort(idx flowtable.Index, r *flowtable.Record, reason Counter, now int64, out *Output) {
}

// Release frees everything kept for the record and wipes its secrets. No operation of the flow may be pending.
func (c *Core) Release(idx flowtable.Index, r *flowtable.Record) {}
