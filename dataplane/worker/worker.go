package worker

import (
	"fmt"
	"sync/atomic"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/stream"
	"linecrypt/dataplane/tsc"
	"linecrypt/flowtable"
)

// Control is what a worker knows of the control plane besides its messages. It is read from shared memory at each new
// connection and must neither block nor allocate.
type Control interface {
	// Alive reports whether the control plane can be expected to answer.
	Alive(now int64) bool
	// Policy is the policy in force; it stays in force while the control plane is dead.
	Policy() flowtable.Policy
}

// Params are the worker's settings. Times are in ns.
type Params struct {
	Blocks     int   // connections in set-up at a time
	Retransmit int64 // first interval of what is asked or sent again during set-up
	Timeout    int64 // set-up as a whole
	AskTimeout int64 // an answer of the control plane; without one, and without a sign of its life, the connection is left plain (or refused)
	ENOTries   int   // SYNs sent with ENO before one goes without
	PlainIdle  int64 // a silent plain connection is forgotten
	FlowIdle   int64 // a silent encrypted connection is reset
	IdleSleep  int64 // longest sleep of an adaptive worker
	Adaptive   bool  // sleep while idle
	SharedCore bool  // other workers poll on the same core
}

// DefaultParams are settings that suit a gateway between ordinary hosts.
func DefaultParams() Params {
	const s = int64(1e9)
	return Params{
		Blocks: 4096, Retransmit: s, Timeout: 30 * s, AskTimeout: s / 2, ENOTries: 2,
		PlainIdle: 300 * s, FlowIdle: 5 * 24 * 3600 * s, IdleSleep: 50_000,
	}
}

// Config is what a Worker is made of. The worker alone uses the queues, the cache, the table and the ring ends.
type Config struct {
	ID              uint16
	Inside, Outside port.Queue
	TxCksum         [2]bool // the port fills in TCP checksums: inside, outside
	Cache           *mbuf.Cache
	Table           *flowtable.Table
	Requests        *shm.Producer
	Replies         *shm.Consumer
	Engine          cryptobatch.Engine
	Control         Control
	Counters        *shm.Block // in shared memory; this worker alone writes it
	Pairs           *Pairs     // shared by the workers of a data plane
	Stream          stream.Config
	Params          Params
}

// The two ports, and the directions of what is received there.
const (
	inside  = flowtable.Inside
	outside = flowtable.Outside
)

// Worker is the pipeline of one core.
type Worker struct {
	cfg    Config
	params Params
	table  *flowtable.Table
	core   *stream.Core
	out    *stream.Output
	batch  cryptobatch.Batcher
	cache  *mbuf.Cache
	ctl    Control
	n      *shm.Block
	pairs  *Pairs

	rx      [2]port.Queue
	tx      [2]txQueue
	ms      [port.Burst]*mbuf.Mbuf
	pkts    [port.Burst]packet.Packet
	keys    [port.Burst]flowtable.Key
	hashes  [port.Burst]uint32
	found   [port.Burst]flowtable.Index
	tcp     [port.Burst]uint8 // positions in pkts of the TCP segments among them
	seg     stream.Segment
	scratch packet.Packet
	own     packet.Seg
	made    packet.Packet
	icmpErr packet.ICMPError
	icmpKey flowtable.Key
	events  []stream.Event
	expired [64]flowtable.Index
	changed bool  // a record was inserted or removed since the last lookup
	now     int64 // of the poll in progress

	blocks blocks
	req    shm.Request
	rep    shm.Reply
	idle   idler
	stop   atomic.Bool
}

// New makes a worker; all memory it uses in its steady state is allocated here.
func New(cfg Config) (*Worker, error) {
	if cfg.Inside == nil || cfg.Outside == nil || cfg.Cache == nil || cfg.Table == nil || cfg.Engine == nil ||
		cfg.Control == nil || cfg.Requests == nil || cfg.Replies == nil || cfg.Pairs == nil {
		return nil, fmt.Errorf("worker %d: incomplete configuration", cfg.ID)
	}
	if cfg.Counters == nil {
		cfg.Counters = new(shm.Block)
	}
	sc := cfg.Stream
	sc.Cache, sc.Engine, sc.Counters = cfg.Cache, cfg.Engine, cfg.Counters
	sc.Chunks = flowtable.FormatChunks(cfg.Table.Chunks())
	core, err := stream.NewCore(sc)
	if err != nil {
		return nil, fmt.Errorf("worker %d: %w", cfg.ID, err)
	}
	w := &Worker{
		cfg: cfg, params: cfg.Params, table: cfg.Table, core: core, cache: cfg.Cache, ctl: cfg.Control, pairs: cfg.Pairs,
		n:   cfg.Counters,
		out: stream.NewOutput(2 * port.Burst), batch: cfg.Engine.NewBatcher(8 * port.Burst),
		rx: [2]port.Queue{cfg.Inside, cfg.Outside},
	}
	w.events = make([]stream.Event, 0, cap(w.out.Events))
	w.blocks.init(cfg.Params.Blocks)
	w.tx[inside] = txQueue{q: cfg.Inside, cache: cfg.Cache, offload: cfg.TxCksum[inside],
		packets: &w.n[shm.TxInsidePackets], bytes: &w.n[shm.TxInsideBytes], full: &w.n[shm.DropTxFull]}
	w.tx[outside] = txQueue{q: cfg.Outside, cache: cfg.Cache, offload: cfg.TxCksum[outside],
		packets: &w.n[shm.TxOutsidePackets], bytes: &w.n[shm.TxOutsideBytes], full: &w.n[shm.DropTxFull]}
	w.idle.init(cfg.Params, &w.n[shm.IdleSleeps], cfg.Inside, cfg.Outside)
	return w, nil
}

// Stop makes Run return. Any goroutine may call it.
func (w *Worker) Stop() { w.stop.Store(true) }

// Run polls until Stop. The caller has pinned the thread. Clock returns ns of the monotonic clock.
func (w *Worker) Run(clock func() int64) {
	for !w.stop.Load() {
		work := w.Poll(clock())
		w.idle.after(work)
	}
}

// Poll does all that is to be done now and returns how much there was of it, 0 when the worker is idle. Now is in ns of
// the monotonic clock.
func (w *Worker) Poll(now int64) int {
	t := tsc.Now()
	w.now = now
	work := w.pollPort(inside, now) + w.pollPort(outside, now)
	work += w.pollReplies(now)
	work += w.pollTimers(now)
	w.finish(now)
	w.flush()
	w.n[shm.Polls]++
	if work == 0 {
		w.n[shm.IdlePolls]++
		w.n[shm.IdleCycles] += tsc.Now() - t
		return 0
	}
	w.n[shm.BusyCycles] += tsc.Now() - t
	return work
}

// Shutdown resets every connection that is encrypted, or whose far end believes so, on both sides, because what comes after
// the worker knows nothing of them and would pass their ciphertext. It sends what is left and forgets all connections. Run
// must have returned.
func (w *Worker) Shutdown(now int64) {
	w.now = now
	w.table.Range(func(i flowtable.Index, r *flowtable.Record) bool {
		switch {
		case r.State == flowtable.Encrypted:
			w.abort(i, r, shm.ReasonReset, now)
		case r.State != flowtable.Closing && committed(r):
			w.resetBoth(i, r, now)
		}
		w.finish(now)
		w.flush()
		w.remove(i, r)
		return true
	})
}
