package ends

import (
	"fmt"
	"math/rand/v2"

	"linecrypt/bench/pktgen/scenario"
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// Wire is a way to the gateway and back, to one of its ports.
type Wire interface {
	// Send takes packets in order and returns how many it took; it owns those. At says when each leaves, in the wire's own time.
	Send(ms []*mbuf.Mbuf, at []int64) int
	// Receive fills ms with what came out of the gateway's port, and at with when it did; the caller owns the buffers.
	Receive(ms []*mbuf.Mbuf, at []int64) int
}

// Port is a wire with what goes with it.
type Port struct {
	Wire     Wire
	Cache    *mbuf.Cache
	Checksum Checksum
}

// Checksum says what becomes of TCP checksums on a wire.
type Checksum uint8

// What becomes of them.
const (
	Software Checksum = iota // the ends compute and verify them
	Offload                  // the sending port fills them in; received ones are verified
	Trusted                  // nobody looks: a wire in memory, on which both ports are NICs that do the work
)

// Config is what Ends are made of.
type Config struct {
	Scenario *scenario.Scenario
	Ports    [flowtable.NumSides]Port // by the gateway's sides: hosts are at Inside
	Engine   cryptobatch.Engine
	Shared   *tcpcrypt.MasterKey // of all connections; nil where each agrees on its own
	Seed     uint64              // of what is random; with it the ports that far ends have at first
}

// Counts are what happened since the Ends were made. Packets and bytes are of whole frames, link layer included.
type Counts struct {
	Offered, OfferedBytes   [flowtable.NumSides]uint64
	Received, ReceivedBytes [flowtable.NumSides]uint64
	Sent                    uint64 // segments of data, each counted once
	Arrived, ArrivedBytes   uint64 // of these, with their payload
	Acks                    uint64 // acknowledgements without data that were offered
	Resent                  uint64 // segments sent again
	Again                   uint64 // segments that arrived again
	Rekeyed                 uint64 // generations of keys that began, of either end's
	Early                   uint64 // frames that came before the one that begins their generation
	Disordered              uint64 // segments that arrived ahead of others
	Lost                    uint64 // packets that the scenario lost on purpose
	Damaged                 uint64 // frames that it damaged
	Forged                  uint64 // SYNs of nobody
	ForgedOut               uint64 // of these, those that the gateway let through
	Opened                  uint64 // connections that came about
	Finished                uint64 // connections that were closed in order
	Reset                   uint64 // connections that the gateway or its policy reset
	Stray                   uint64 // packets of no connection, or of a former life of one
	Wrong                   uint64 // packets that are not what they should be: Faults says the first
}

// Ends are the hosts and the far ends.
type Ends struct {
	Counts
	Latency Histogram // of data that arrived, in the wires' time

	sc       *scenario.Scenario
	ports    [flowtable.NumSides]Port
	engine   cryptobatch.Engine
	batch    cryptobatch.Batcher
	shared   *tcpcrypt.MasterKey
	flows    []flow
	keys     keys
	plainMix mix // sizes, as plaintext
	frameMix mix // and as frames
	rnd      *rand.PCG
	rand     *rand.Rand

	now  int64  // ns, of the call in progress
	tick uint32 // ms, for timestamps

	out     [flowtable.NumSides]outgoing
	seals   []cryptobatch.Op
	opens   []cryptobatch.Op
	opening []opening
	plains  [][mbuf.DefaultDataRoom]byte // what opens write to
	ms      [burst]*mbuf.Mbuf
	at      [burst]int64
	pkt     packet.Packet
	seg     packet.Seg
	tpl     packet.Template

	acks, resends [flowtable.NumSides]queue // of connections, by the side that has something to send
	debts         [flowtable.NumSides]int   // acknowledgements that are owed
	turn          [either]turn
	alternate     bool
	quiet         bool // no new data
	calm          bool // nothing is disturbed
	hand          uint32
	opener        opener
	closer        closer
	late          []held
	lates         int
	faults        []error
}

// burst is how many packets are received, sealed or opened at a time.
const burst = 64

// outgoing are packets that are made and not sent yet, in order.
type outgoing struct {
	ms     []*mbuf.Mbuf
	at     []int64
	sealed int // those before it are complete
}

// turn is whose turn it is to send data of a direction.
type turn struct {
	n    uint32
	left int
}

// New makes the ends of all connections, none of which is open.
func New(cfg Config) (*Ends, error) {
	sc := cfg.Scenario
	e := &Ends{
		sc: sc, ports: cfg.Ports, engine: cfg.Engine, batch: cfg.Engine.NewBatcher(burst), shared: cfg.Shared,
		flows:    make([]flow, sc.Traffic.Flows),
		plainMix: newMix(sc.Traffic.Sizes, 0), frameMix: newMix(sc.Traffic.Sizes, tcpcrypt.Overhead),
		rnd:   rand.NewPCG(cfg.Seed, 0x6c696e6563727970),
		seals: make([]cryptobatch.Op, 0, burst), opens: make([]cryptobatch.Op, 0, burst), opening: make([]opening, 0, burst),
		plains: make([][mbuf.DefaultDataRoom]byte, burst),
		calm:   true,
	}
	e.rand = rand.New(e.rnd)
	for s := range e.out {
		e.out[s] = outgoing{ms: make([]*mbuf.Mbuf, 0, 2*maxOffer), at: make([]int64, 0, 2*maxOffer)}
		e.acks[s].init(len(e.flows))
		e.resends[s].init(len(e.flows))
	}
	e.opener.init(len(e.flows))
	e.late = make([]held, maxLate)
	if err := e.keys.init(e); err != nil {
		return nil, fmt.Errorf("keys of the far ends: %w", err)
	}
	life := e.rand.Uint32N(lives)
	for n := range e.flows {
		f := &e.flows[n]
		f.life = life
		f.plain = n*sc.Traffic.Plain/100 != (n+1)*sc.Traffic.Plain/100
	}
	return e, nil
}

// MemoryPerFlow is what a connection takes of memory here, in bytes.
func MemoryPerFlow(agreed bool) int {
	n := flowSize + 4*4 + 8
	if agreed {
		n += either * (kept*(cryptobatch.KeySize+tcpcrypt.NonceLen) + tcpcrypt.KeyLen)
	}
	return n
}

// Close erases the keys. No packet may be on its way any more, or it is lost to its pool.
func (e *Ends) Close() {
	e.keys.wipe(e.engine)
	for s := range e.out {
		e.ports[s].Cache.FreeBurst(e.out[s].ms)
		e.out[s].ms = e.out[s].ms[:0]
	}
	for i := range e.late[:e.lates] {
		e.ports[e.late[i].to].Cache.Free(e.late[i].m)
	}
	e.lates = 0
}

// Tell sets the time, in ns of a monotonic clock, for what follows.
func (e *Ends) Tell(now int64) {
	e.now = now
	e.tick = uint32(now / 1e6)
}

// Quiet says whether the ends send no new data.
func (e *Ends) Quiet(quiet bool) { e.quiet = quiet }

// Calm says whether the scenario's disturbances are off. They are at first.
func (e *Ends) Calm(calm bool) { e.calm = calm }

// maxFaults bounds how many faults are told.
const maxFaults = 8

// wrong notes that a packet is not what it should be.
func (e *Ends) wrong(format string, args ...any) {
	e.Wrong++
	if len(e.faults) < maxFaults {
		e.faults = append(e.faults, fmt.Errorf(format, args...))
	}
}

// Faults are the first things that were wrong with what came out of the gateway.
func (e *Ends) Faults() []error { return e.faults }

// Missing is how many of the packets that were offered have not come out of the gateway: those that were lost, to be asked once nothing is on its
// way. What the scenario damages or loses, and SYNs of nobody, do not count. Segments that were sent again tell of losses that packets of others,
// and of the gateway itself, would hide.
func (c *Counts) Missing() uint64 {
	offered := c.Offered[flowtable.Inside] + c.Offered[flowtable.Outside]
	came := c.Received[flowtable.Inside] + c.Received[flowtable.Outside] + c.Forged - c.ForgedOut + c.Damaged
	return max(offered-min(came, offered), c.Resent-min(c.Resent, c.Damaged+c.Lost))
}

// InFlight returns how many segments of data are sent and not acknowledged.
func (e *Ends) InFlight() int {
	total := 0
	for n := range e.flows {
		f := &e.flows[n]
		if f.state < established {
			continue
		}
		for d := up; d < either; d++ {
			h := &f.halves[d]
			k, _ := e.segmentAt(f, uint32(n), d, true, h.una)
			if h.una < e.place(f, uint32(n), d, true, h.sent) {
				total += max(int(h.sent-min(k, h.sent)), 1) // an empty frame is no segment
			}
		}
	}
	return total
}
