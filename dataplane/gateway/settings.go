package gateway

import (
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/stream"
	"linecrypt/dataplane/worker"
	"linecrypt/flowtable"
)

// linger is how long a finished connection answers retransmissions, in ns.
const linger = int64(15e9)

// maxFlowFrames bounds the frames of one connection in flight: an acknowledgement that names some of them looks through them all. They
// carry 1 Gbit/s at 180 ms in full segments.
const maxFlowFrames = 1 << 14

// ledgerChunks is the number of ledger chunks of a worker: one for each connection and direction, and some on top. Half of them are for
// those who have much in flight; as it is rare that all connections have something in flight, the other half is enough for the rest.
func ledgerChunks(c *config.Config) uint32 { return uint32(2*c.Flows.Max + 8192) }

// Buffers returns the number of packet buffers of a worker, each with room bytes behind its headroom.
func Buffers(c *config.Config, room int) int {
	if c.Buffers.Count > 0 {
		return c.Buffers.Count
	}
	return c.Buffers.Memory / mbuf.BufferSize(room)
}

// keys is how many expanded keys a worker has place for: two a connection, and some for those that change keys.
func keys(c *config.Config) int { return 2*c.Flows.Max + 1024 }

// Layout is what a worker's table is made with.
func Layout(c *config.Config) flowtable.Layout {
	return flowtable.Layout{Capacity: uint32(capacity(c)), Chunks: ledgerChunks(c)}
}

// streamConfig sizes a translator. What it keeps for flows is bounded by the number of flows and by the buffers there are: of a pool
// that workers share, each has the part that the configuration gives a worker.
func streamConfig(c *config.Config, cache *mbuf.Cache) stream.Config {
	segment := cache.Pool().DataRoom()
	buffers := min(Buffers(c, segment), cache.Share())
	return stream.Config{
		Keys:           keys(c),
		HugePages:      c.Memory.HugePages,
		OutOfOrder:     buffers / 2,
		Reassemblies:   min(c.Flows.Max, buffers/2),
		Setups:         min(c.Flows.Max, buffers/4),
		Gaps:           min(c.Flows.Max, 4096),
		Deliveries:     buffers / 4,
		LargeBuffers:   c.Reassembly.LargeBuffers,
		PoolLow:        buffers / 8,
		HeldBuffers:    buffers / 8 * 5,
		SharedFrames:   int(ledgerChunks(c)) * flowtable.ChunkEntries / 2,
		GiveUp:         int64(c.Retransmit.GiveUp),
		FlowFrames:     uint32(min(max(c.Retransmit.FlowBytes/512, 64), maxFlowFrames)),
		FlowBytes:      uint32(c.Retransmit.FlowBytes),
		FlowOutOfOrder: uint32(max(c.Reassembly.FlowBytes/segment, 64)),
		RekeyFrames:    c.Rekey.Frames,
		RekeyBytes:     c.Rekey.Bytes,
		RekeyTime:      int64(c.Rekey.Time),
		KeepIdle:       int64(c.KeepAlive.Idle),
		KeepInterval:   int64(c.KeepAlive.Interval),
		KeepProbes:     uint8(c.KeepAlive.Probes),
		AuthFailures:   3,
		Linger:         linger,
	}
}

// tombs is how many connections that are over have a place of their own while all of flows.max are taken.
func tombs(c *config.Config) int { return c.Flows.Max/4 + 64 }

// met is how many connections that are older than the gateway are remembered.
func met(c *config.Config) int { return c.Flows.Max/16 + 64 }

// capacity is how many records a worker's table holds: established connections, half-open ones of openers inside and outside,
// those that are over, and those that are older than the gateway.
func capacity(c *config.Config) int { return c.Flows.Max + 2*c.Handshake.HalfOpen + tombs(c) + met(c) }

// Sizes returns what one worker is made of, for a benchmark that drives a worker by itself.
func Sizes(c *config.Config, cache *mbuf.Cache) (flowtable.Layout, stream.Config, worker.Params) {
	return Layout(c), streamConfig(c, cache), params(c)
}

// largeBuffer is what a buffer for the largest frame takes, in bytes.
const largeBuffer = 64 << 10

// Memory returns what one worker takes of memory, in bytes: its part of the shared segment, and what it has beside that, which is keys
// and packet buffers for the most part.
func Memory(c *config.Config) (segment, private int) {
	segment = flowtable.Size(Layout(c))
	private = keys(c)*cryptobatch.KeySize + Buffers(c, mbuf.DefaultDataRoom)*mbuf.BufferSize(mbuf.DefaultDataRoom) + c.Reassembly.LargeBuffers*largeBuffer
	return segment, private
}

func params(c *config.Config) worker.Params {
	p := worker.DefaultParams()
	p.Retransmit = int64(c.Handshake.Retransmit)
	p.Timeout = int64(c.Handshake.Timeout)
	p.HoldTime = int64(c.Peering.Timeout)
	p.ENOTries = c.Handshake.ENOTries
	p.FastPath = c.FastPath
	p.Nonce = c.Resumption.Nonce
	p.Adaptive = c.Workers.Poll == config.Adaptive
	p.IdleSleep = int64(c.Workers.IdleSleep)
	p.Flows, p.HalfOpen, p.Tombs, p.Met = c.Flows.Max, c.Handshake.HalfOpen, tombs(c), met(c)
	p.Blocks = min(p.Blocks, c.Flows.Max)
	return p
}
