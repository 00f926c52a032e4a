package stream

import (
	"fmt"
	"math"
	"unsafe"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/hugepages"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// Core translates the flows of one worker. It is not safe for concurrent use, and works with one Output at a time. It never
// writes Record.State: events tell the caller when to.
type Core struct {
	cfg    Config
	n      *shm.Block
	cache  *mbuf.Cache
	chunks flowtable.Chunks

	kept           []kept // frames in flight, by ledger entry, in keptMem
	keptMem        *hugepages.Memory
	shares         shares // of the buffers that they hold
	flight         shares // of the frames in flight
	oldKeys        []oldKey
	freeOldKey     uint16
	scarce         bool // the pool was low when last looked at
	calls          uint8
	keys           keyring
	outOfOrder     []outOfOrder
	freeOutOfOrder uint32
	gaps           []gap
	freeGap        uint16
	reassemblies   []reassembly // behind number 0: those of keyed, then those of setup
	keyed, setup   stock
	queued         share // of outOfOrder, by ingress
	deliveries     []delivery
	freeDelivery   uint32
	delivering     share             // of deliveries
	peerKey        flowtable.FoldKey // nobody outside knows who shares with whom
	large          largeBuffers
	turn           [numResources]int // where reclaim looks next
	run            Run
	given          given
}

// Defaults of Config fields that are zero.
const (
	defaultFlowFrames     = 1 << 14
	defaultFlowBytes      = 16 << 20
	defaultFlowOutOfOrder = 4096
	defaultAuthFailures   = 3
	defaultLinger         = 60e9
	defaultGiveUp         = 900e9
	defaultKeepInterval   = 75e9
	defaultKeepProbes     = 9
)

// NewCore makes a Core; all memory it will ever use is allocated here. The error names the setting that is wrong.
func NewCore(cfg Config) (*Core, error) {
	if cfg.Cache == nil || cfg.Engine == nil || cfg.Chunks.Len() < 2 {
		return nil, fmt.Errorf("stream core: no buffer cache, no crypto engine or no ledger chunks")
	}
	if cfg.Keys < 2 || cfg.OutOfOrder < 1 || cfg.Reassemblies < 1 || cfg.Gaps < 1 || cfg.Deliveries < 1 || cfg.LargeBuffers < 1 {
		return nil, fmt.Errorf("stream core: %d keys, %d out-of-order segments, %d reassemblies, %d gaps, %d deliveries, %d large buffers: at least 2, 1, 1, 1, 1, 1",
			cfg.Keys, cfg.OutOfOrder, cfg.Reassemblies, cfg.Gaps, cfg.Deliveries, cfg.LargeBuffers)
	}
	setDefaults(&cfg)
	c := &Core{cfg: cfg, n: cfg.Counters, cache: cfg.Cache, chunks: cfg.Chunks}
	var err error
	if c.keptMem, err = hugepages.Map(cfg.Chunks.MaxEntryID()*int(unsafe.Sizeof(kept{})), cfg.HugePages); err != nil {
		return nil, fmt.Errorf("stream core: frames in flight: %w", err)
	}
	c.kept = sliceOf[kept](c.keptMem.Bytes, cfg.Chunks.MaxEntryID())
	c.shares.init(cfg.HeldBuffers)
	c.flight.flight = true
	c.flight.init(cfg.SharedFrames)
	c.oldKeys = make([]oldKey, min(cfg.Keys, 8*keySpare)+1)
	for i := len(c.oldKeys) - 1; i > 0; i-- {
		c.oldKeys[i].next, c.freeOldKey = c.freeOldKey, uint16(i)
	}
	c.scarce = c.cache.Avail() < cfg.PoolLow
	c.outOfOrder = make([]outOfOrder, cfg.OutOfOrder+1)
	for i := len(c.outOfOrder) - 1; i > 0; i-- {
		c.freeOutOfOrderNode(uint32(i))
	}
	c.reassemblies = make([]reassembly, cfg.Reassemblies+cfg.Setups+1)
	c.keyed.share.total, c.setup.share.total, c.queued.total = cfg.Reassemblies, cfg.Setups, cfg.OutOfOrder
	c.delivering.total, c.peerKey = cfg.Deliveries, flowtable.NewFoldKey()
	for i := len(c.reassemblies) - 1; i > 0; i-- {
		s := c.stockOf(uint32(i))
		c.reassemblies[i].next, s.free = s.free, uint32(i)
	}
	c.gaps = make([]gap, min(cfg.Gaps, maxGaps)+1)
	for i := len(c.gaps) - 1; i > 0; i-- {
		c.gaps[i].next, c.freeGap = c.freeGap, uint16(i)
	}
	c.deliveries = make([]delivery, cfg.Deliveries+1)
	for i := len(c.deliveries) - 1; i > 0; i-- {
		c.freeDeliveryNode(uint32(i))
	}
	if err := c.keys.init(cfg.Engine, cfg.Keys, cfg.HugePages); err != nil {
		c.Close()
		return nil, fmt.Errorf("stream core: %w", err)
	}
	if err := c.large.init(cfg.LargeBuffers); err != nil {
		c.Close()
		return nil, fmt.Errorf("stream core: %w", err)
	}
	return c, nil
}

func setDefaults(cfg *Config) {
	if cfg.Counters == nil {
		cfg.Counters = new(shm.Block)
	}
	if cfg.FlowFrames == 0 {
		cfg.FlowFrames = defaultFlowFrames
	}
	if cfg.FlowBytes == 0 {
		cfg.FlowBytes = defaultFlowBytes
	}
	if cfg.FlowOutOfOrder == 0 {
		cfg.FlowOutOfOrder = defaultFlowOutOfOrder
	}
	cfg.FlowOutOfOrder = min(cfg.FlowOutOfOrder, math.MaxUint16) // as Local.Queued counts
	if cfg.Setups == 0 {
		cfg.Setups = cfg.Reassemblies
	}
	if cfg.AuthFailures == 0 {
		cfg.AuthFailures = defaultAuthFailures
	}
	if cfg.Linger == 0 {
		cfg.Linger = defaultLinger
	}
	if cfg.GiveUp == 0 {
		cfg.GiveUp = defaultGiveUp
	}
	if cfg.KeepInterval == 0 {
		cfg.KeepInterval = defaultKeepInterval
	}
	if cfg.KeepProbes == 0 {
		cfg.KeepProbes = defaultKeepProbes
	}
	if cfg.HeldBuffers == 0 {
		cfg.HeldBuffers = cfg.Cache.Pool().Size() / 8 * 5
	}
	if cfg.SharedFrames == 0 {
		cfg.SharedFrames = cfg.Chunks.Len() / 2 * flowtable.ChunkEntries
	}
}

// Close erases all keys and gives the memory outside of the Go heap back.
func (c *Core) Close() {
	c.keys.close()
	c.large.close()
	_ = c.keptMem.Close()
	c.kept, c.keptMem = nil, nil
}

// Counters returns the Core's counters.
func (c *Core) Counters() *shm.Block { return c.n }

// Start initialises both halves of a record once the ISNs, MSS and window scales of both ends are in r.Host and r.Peer and
// r.Flags says what was agreed. It also takes the windows in r.Host.Win and r.Peer.Win, in bytes, and the timestamps in
// r.Host.TSVal and r.Peer.TSVal, which the segments carry that the gateway makes. MSS and window scales are as each end
// announced them: the translator itself subtracts a frame's overhead from r.Peer.MSS.
func (c *Core) Start(_ flowtable.Index, r *flowtable.Record, _ int64) {
	r.ClearStreams()
	r.Local.Common = false
	e, in := &r.Egress, &r.Ingress
	e.WEdge, e.AckTold, e.EdgeTold = uint64(r.Peer.Win), r.Host.ISN+1, r.Host.ISN+1+r.Peer.Win
	in.PEdge, in.WEdge, in.AckTold = uint64(r.Host.Win), uint64(r.Host.Win), r.Peer.ISN+1
}

// StartResumed is Start for a connection without Init messages (RFC 8548 section 3.5): frames begin at wire position 0. What comes
// before there are keys is kept as far as it has room.
func (c *Core) StartResumed(idx flowtable.Index, r *flowtable.Record, now int64) {
	c.Start(idx, r, now)
	r.Ingress.Flags |= flowtable.IngressInit
}

// InstallKeys expands the keys and, unless they are to be held, processes what arrived behind the peer's Init message. Both Init
// messages must have passed. The error is for the log; the connection is then aborted, with the RSTs in out.
func (c *Core) InstallKeys(idx flowtable.Index, r *flowtable.Record, keys *Keys, now int64, out *Output) error {
	e, in := &r.Egress, &r.Ingress
	r.AEAD = uint16(keys.AEAD)
	var err error
	if r.Local.SealKey, err = c.keys.install(&r.Rare.Seal, &e.NR, keys.AEAD, keys.Master, keys.Egress); err == nil {
		r.Local.OpenKey, err = c.keys.install(&r.Rare.Open, &in.NR, keys.AEAD, keys.Master, keys.Egress.Reverse())
	}
	if err != nil {
		c.Abort(idx, r, shm.AbortKeys, now, out)
		return fmt.Errorf("install keys: %w", err)
	}
	if keys.Egress == tcpcrypt.BA {
		e.Flags |= flowtable.EgressBA
	}
	e.Flags |= flowtable.EgressKeys
	c.dropInit(r)
	r.Rare.WSeal = e.WNext
	f := flow{c: c, idx: idx, r: r, now: now, out: out}
	f.beginGeneration()
	if keys.Hold {
		c.judge(r)
		return nil
	}
	c.Confirm(idx, r, now, out)
	return nil
}

// Confirm processes what arrived behind the peer's Init message, and lets what comes from now on reach the host. Until then frames of
// a connection whose keys are held wait as segments do that follow a hole.
func (c *Core) Confirm(idx flowtable.Index, r *flowtable.Record, now int64, out *Output) {
	r.Ingress.Flags |= flowtable.IngressKeys
	f := flow{c: c, idx: idx, r: r, now: now, out: out}
	f.heard()
	f.drain()
	if f.wireNews() {
		f.ackWire()
	}
	f.settle()
	c.judge(r)
}

// Release frees everything that belongs to the record and wipes its secrets. No operation of the flow may be pending.
func (c *Core) Release(_ flowtable.Index, r *flowtable.Record) {
	c.freeBuffers(r)
	c.dropOldKeys(r, math.MaxUint64)
	e := &r.Egress
	for _, k := range []*uint32{&r.Local.SealKey, &r.Local.OpenKey, &r.Local.PrevKey, &r.Local.NextKey} {
		c.keys.wipe(*k)
		*k = 0
	}
	r.Rare.Seal, r.Rare.Open = flowtable.Secrets{}, flowtable.Secrets{}
	r.Rare.SealGen, r.Rare.OpenGen = 0, 0
	e.NR, r.Ingress.NR = [12]byte{}, [12]byte{}
	r.Local.PrevNR, r.Local.NextNR = [12]byte{}, [12]byte{}
	e.Flags |= flowtable.EgressDead | flowtable.EgressFreed
	r.Local.Common = false
}

// freeBuffers frees the queues of a flow.
func (c *Core) freeBuffers(r *flowtable.Record) {
	for r.Egress.Queue.Count > 0 {
		c.popFrame(r)
	}
	for r.Ingress.Queue.Count > 0 {
		c.chunks.Pop(&r.Ingress.Queue)
	}
	c.dropGap(r)
	c.shares.delist(r)
	c.flight.delist(r)
	c.freeReassembly(r)
}

// keyOf returns the expanded key of a slab index for an operation.
func (c *Core) keyOf(i uint32) *cryptobatch.Key { return &c.keys.slab[i] }

// lookEvery is the number of calls between two looks at how full the pool is.
const lookEvery = 16

// begin is called before anything is done: with no operation pending, keys that were given up can go.
func (c *Core) begin(out *Output) {
	if len(c.keys.retired) > 0 && !out.Pending() {
		c.keys.sweep()
	}
	if c.calls++; c.calls%lookEvery == 0 {
		c.scarce = c.cache.Avail() < c.cfg.PoolLow
	}
}
