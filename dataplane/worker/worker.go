package worker

import (
	"fmt"
	"sync/atomic"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/outcome"
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/ctrlplane/trace"
	"linecrypt/dataplane/handover"
	"linecrypt/dataplane/handshake"
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
	// Aware reports whether the application at a host's endpoint asked for the application-aware bit.
	Aware(addr *[16]byte, port uint16) bool
	// Fresh reports whether it asked that its connections resume no session.
	Fresh(addr *[16]byte, port uint16) bool
	// Decide returns what is in force for a connection that a host on a side opens, and the name of the rule that says so. It stays in
	// force while the control plane is dead. The rules belong to the worker until the next call.
	Decide(k *flowtable.Key, opener flowtable.Side) (*handshake.Rules, flowtable.RuleRef)
	// RulesOf returns what was in force when a connection was decided on. The rules belong to the worker until the next call.
	RulesOf(flowtable.RuleRef) *handshake.Rules
}

// Params are the worker's settings. Times are in ns.
type Params struct {
	Flows      int   // established connections; 0: what the table holds besides the stocks below
	HalfOpen   int   // half-open connections of openers inside, and as many of openers outside
	Tombs      int   // connections that are over and that an end may not know to be, while all places of Flows are taken
	Met        int   // connections that are older than the gateway and remembered
	Blocks     int   // key exchanges at a time
	Retransmit int64 // first interval of what is sent again during set-up
	Timeout    int64 // set-up as a whole
	AskTimeout int64 // an answer of the control plane; without one it is asked again, or, without a sign of its life, the connection is left plain (or refused)
	HoldTime   int64 // a connection that is held until its far end is authenticated waits for that
	ENOTries   int   // SYNs sent with ENO before one goes without
	PlainIdle  int64 // a silent plain connection is forgotten
	FlowIdle   int64 // a silent encrypted connection is reset
	IdleSleep  int64 // longest sleep of an adaptive worker
	Adaptive   bool  // sleep while idle
	SharedCore bool  // other workers poll on the same core
	Nonce      int   // bytes of a resumption nonce where there is room for them, 0 to 8
	FastPath   bool  // nearly all segments take the fast path, not the full translator
}

// DefaultParams are settings that suit a gateway between ordinary hosts.
func DefaultParams() Params {
	const s = int64(1e9)
	return Params{
		HalfOpen: 16384, Blocks: 4096, Retransmit: s, Timeout: 30 * s, AskTimeout: s / 2, HoldTime: 10 * s, ENOTries: 2,
		Nonce: tcpcrypt.MaxResumeNonce, PlainIdle: 300 * s, FlowIdle: 5 * 24 * 3600 * s, IdleSleep: 50_000, FastPath: true,
	}
}

// Config is what a Worker is made of. The worker alone uses the queues, the cache, the table and the ring ends.
type Config struct {
	ID              uint16
	Inside, Outside port.Queue
	TxCksum         [2]bool // the port fills in TCP checksums: inside, outside
	TxUDPCksum      [2]bool // and those of UDP
	LargeBursts     [2]bool // the port is asked for port.LargeBurst packets at a time
	Cache           *mbuf.Cache
	Table           *flowtable.Table
	Requests        *shm.Producer
	Replies         *shm.Consumer
	Engine          cryptobatch.Engine
	Control         Control
	Verdicts        *shm.Verdicts     // in shared memory; this worker alone writes it; nil for nowhere
	Counters        *shm.Block        // in shared memory; this worker alone writes it
	Pairs           *Pairs            // shared by the workers of a data plane
	Circle          *handover.Circle  // of all workers; nil for a worker alone
	MTU             *PortMTUs         // nil: not known
	Secrets         *resumption.Table // of earlier sessions to resume; nil: none
	Trace           trace.Region      // in shared memory; of none, nothing is ever traced
	Outcomes        outcome.Region    // in shared memory; this worker alone writes it; none for nowhere
	Stream          stream.Config
	Params          Params
}

// The two ports, and the directions of what is received there.
const (
	inside  = flowtable.Inside
	outside = flowtable.Outside
)

// eventDepth bounds calls of finish in one another: an event, the tomb that goes for it, and one to spare.
const eventDepth = 8

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
	asks    [2]int // packets at a time
	tx      [2]txQueue
	ms      [flowtable.NumSides][port.LargeBurst]*mbuf.Mbuf // of a burst
	ahead   bool                                            // this poll's bursts were received by the last one,
	got     [flowtable.NumSides]int                         // so many packets
	burst   burst
	seg     stream.Segment
	scratch packet.Packet
	fastRun fastRun
	own     packet.Seg
	fresh   flowtable.Template // of a segment that the translator has yet to find acceptable
	made    packet.Packet
	icmpErr packet.ICMPError
	icmpKey flowtable.Key
	events  [eventDepth][]stream.Event
	depth   int // of calls of finish in one another
	expired [64]flowtable.Index
	paths   paths
	orphans orphans
	portMTU [flowtable.NumSides]uint16 // as Config.MTU had them, 0: not known
	others  uint8                      // workers besides this one
	hops    uint8                      // those that the packet being worked has not been with
	ipID    uint16
	said    int64  // ns when the sender of a packet that cannot pass was told last
	changed bool   // a record was inserted or removed since the last lookup
	now     int64  // of the poll in progress
	mark    uint64 // TSC when the last stage of it ended

	machine *handshake.Machine
	steps   stepRooms
	blocks  blocks
	peers   shares // established connections
	tombs   shares // those that are over
	hates   hates
	graves  graves
	hand    flowtable.Index // where the search for a half-closed connection goes on
	req     shm.Request
	rep     shm.Reply
	order   shm.Order
	idle    idler
	trace   tracer
	notes   outcome.Pen
	note    outcome.Note
	stop    atomic.Bool
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
		n:    cfg.Counters,
		rx:   [2]port.Queue{cfg.Inside, cfg.Outside},
		asks: [2]int{port.Burst, port.Burst},
	}
	for s, large := range cfg.LargeBursts {
		if large {
			w.asks[s] = port.LargeBurst
		}
	}
	both := w.asks[inside] + w.asks[outside]
	w.out, w.batch = stream.NewOutput(both), cfg.Engine.NewBatcher(4*both)
	for d := range w.events {
		w.events[d] = make([]stream.Event, 0, cap(w.out.Events))
	}
	w.machine = handshake.NewMachine(handshake.Params{
		Timeout: cfg.Params.Timeout, AskTimeout: cfg.Params.AskTimeout, HostGrace: 3 * cfg.Params.Retransmit,
		HoldTime: cfg.Params.HoldTime, ENOTries: cfg.Params.ENOTries,
	})
	if w.params.Flows == 0 {
		w.params.Flows = max(cfg.Table.Capacity()-2*w.params.HalfOpen-w.params.Tombs-w.params.Met, 1)
	}
	w.TraceIn(cfg.Trace)
	w.notes = outcome.NewPen(cfg.Outcomes)
	w.blocks.init(cfg.Params.Blocks)
	w.peers.key, w.tombs.key, w.hates.key = flowtable.NewFoldKey(), flowtable.NewFoldKey(), flowtable.NewFoldKey()
	w.paths.init()
	w.ipID = cfg.ID
	if cfg.Circle != nil {
		w.others = uint8(cfg.Circle.Workers() - 1)
		w.hops = w.others
	}
	w.tx[inside] = txQueue{q: cfg.Inside, cache: cfg.Cache, offload: cfg.TxCksum[inside], udp: cfg.TxUDPCksum[inside], most: both,
		packets: &w.n[shm.TxInsidePackets], bytes: &w.n[shm.TxInsideBytes], full: &w.n[shm.DropTxFull]}
	w.tx[outside] = txQueue{q: cfg.Outside, cache: cfg.Cache, offload: cfg.TxCksum[outside], udp: cfg.TxUDPCksum[outside], most: both,
		packets: &w.n[shm.TxOutsidePackets], bytes: &w.n[shm.TxOutsideBytes], full: &w.n[shm.DropTxFull]}
	w.idle.init(cfg.Params, &w.n[shm.IdleSleeps], &w.n[shm.IdleCycles], cfg.Inside, cfg.Outside)
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
	begun := tsc.Now()
	w.now, w.mark = now, begun
	w.lookAtPorts()
	w.trace.on = w.trace.tap.Look(now)
	w.paths.expire(now)
	in, out := w.pollPort(inside, now), w.pollPort(outside, now)
	work := in + out
	other := w.pollHandover(now)
	other += w.pollReplies(now)
	other += w.pollTimers(now)
	other += w.pollOrphans(now)
	if other > 0 {
		work += other
		w.mark = tsc.Now() // of no stage
	}
	w.ahead = false
	if in == w.asks[inside] || out == w.asks[outside] {
		w.receiveAhead()
	}
	w.finishStage(now)
	if w.trace.on {
		w.traceOwn()
	}
	w.flush()
	w.n[shm.Polls]++
	if work == 0 {
		w.n[shm.IdlePolls]++
		w.n[shm.IdleCycles] += tsc.Now() - begun
		return 0
	}
	w.n[shm.BusyCycles] += tsc.Now() - begun
	return work
}

// Close erases the expanded keys and gives the memory outside of the Go heap back. The worker is not used any more; what lies in its
// table and its queues stays.
func (w *Worker) Close() { w.core.Close() }

// farewells is how often Shutdown resets an end: a RST may be lost, and nobody answers what comes later.
const farewells = 3

// Shutdown resets every connection that is encrypted, or whose far end believes so, on both sides, because what comes after
// the worker knows nothing of them and would pass their ciphertext. It does so a few times, and calls pause in between. It sends what
// is left and forgets all connections. Run must have returned.
func (w *Worker) Shutdown(now int64, pause func()) {
	w.now = now
	w.dropAhead()
	w.table.Range(func(i flowtable.Index, r *flowtable.Record) bool {
		switch {
		case r.State == flowtable.Encrypted:
			w.abort(i, r, shm.AbortStopped, now)
		case r.State != flowtable.Closing && r.Flags&flowtable.FlagStarted != 0:
			w.abort(i, r, shm.AbortStopped, now)
		case r.State == flowtable.PassiveAck:
			w.n[shm.AbortStopped]++
			w.resetHost(r)
			w.resetPeer(r)
		}
		w.finish(now)
		w.flush()
		return true
	})
	for range farewells - 1 {
		pause()
		w.table.Range(func(_ flowtable.Index, r *flowtable.Record) bool {
			if r.State == flowtable.PassiveAck || r.State == flowtable.Closing && r.Rare.Unaware != 0 {
				w.resetOrphan(r)
				w.flush()
			}
			return true
		})
	}
	w.table.Range(func(i flowtable.Index, r *flowtable.Record) bool {
		w.remove(i, r)
		return true
	})
	w.flush()
}
