package worker

import (
	"encoding/binary"
	"testing"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/handshake"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/stream"
	"linecrypt/flowtable"
)

// testQueue is a port queue that a test feeds and looks at.
type testQueue struct {
	cache *mbuf.Cache
	fill  func(m *mbuf.Mbuf) bool // makes the next packet; false when there is none
	limit int                     // packets the next RxBurst may bring
	sent  func(m *mbuf.Mbuf)      // sees what is transmitted
}

func (q *testQueue) RxBurst(ms []*mbuf.Mbuf) int {
	n := 0
	for n < len(ms) && q.limit > 0 {
		m := q.cache.Alloc()
		if m == nil {
			break
		}
		if !q.fill(m) {
			q.cache.Free(m)
			break
		}
		ms[n] = m
		n++
		q.limit--
	}
	return n
}

func (q *testQueue) TxBurst(ms []*mbuf.Mbuf) int {
	for _, m := range ms {
		if q.sent != nil {
			q.sent(m)
		}
		q.cache.Free(m)
	}
	return len(ms)
}

func (q *testQueue) Stats() port.Stats { return port.Stats{} }

// testControl is a control plane that is there and lets everything be encrypted.
type testControl struct {
	policy flowtable.Policy
	dead   bool
	aware  bool
	fresh  bool
	rules  handshake.Rules
	oneWay bool            // openers outside are under require all the same,
	strict handshake.Rules // by these rules
}

func (c *testControl) Alive(int64) bool             { return !c.dead }
func (c *testControl) Aware(*[16]byte, uint16) bool { return c.aware }
func (c *testControl) Fresh(*[16]byte, uint16) bool { return c.fresh }

func (c *testControl) Decide(_ *flowtable.Key, opener flowtable.Side) (*handshake.Rules, flowtable.RuleRef) {
	if c.oneWay && opener == outside {
		c.strict.Policy = flowtable.Require
		return &c.strict, 0
	}
	return c.Rules(), 0
}
func (c *testControl) RulesOf(flowtable.RuleRef) *handshake.Rules { return c.Rules() }
func (c *testControl) Rules() *handshake.Rules {
	r := &c.rules
	r.Policy = max(c.policy, flowtable.Opportunistic)
	if r.Offer == nil {
		r.Offer = []byte{eno.Kind, 3, byte(tcpcrypt.ECDHECurve25519)}
		r.Answer = eno.AnswerRules{Prefer: []eno.TEP{eno.TEP(tcpcrypt.ECDHECurve25519)}, Valid: handshake.Resumable}
	}
	return r
}

// rig is a worker between two test queues, with a control plane that hands out the same master key to everyone.
type rig struct {
	t       testing.TB
	w       *Worker
	ctl     *testControl
	in, out *testQueue
	asked   *shm.Consumer
	answer  *shm.Producer
	master  tcpcrypt.MasterKey
	now     int64
	toHost  [][]byte // what was sent inside, while keep is set
	toWire  [][]byte
	keep    bool
	mute    bool // the control plane does not answer
	tpl     [2]packet.Template
	change  func(q *shm.Request, rep *shm.Reply) // what else the control plane answers
	asks    []shm.RequestKind
	closed  []shm.Reason
	shared  [][]byte // what a segment would hold: the flow table and both rings
	polled  *uint64  // objects that the worker took from the heap
}

func (g *rig) ring() shm.Ring {
	g.t.Helper()
	size := shm.DefaultRing
	mem := alignedBytes(shm.RingBytes(size))
	r, err := shm.FormatRing(mem, size)
	if err != nil {
		g.t.Fatal(err)
	}
	g.shared = append(g.shared, mem)
	return r
}

func alignedBytes(n int) []byte {
	b := make([]uint64, n/8+16)
	mem := bytesOf(b)
	for addressOf(mem)%64 != 0 {
		mem = mem[8:]
	}
	return mem[:n]
}

func newRig(t testing.TB, flows, buffers int, offload bool, change ...func(*Config)) *rig {
	t.Helper()
	arena, err := mbuf.NewArena(buffers, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { arena.Close() })
	engine, err := cryptobatch.New(cryptobatch.Auto)
	if err != nil {
		t.Fatal(err)
	}
	layout := flowtable.Layout{Capacity: uint32(flows + 2*testHalfOpen + testTombs + testMet), Chunks: uint32(2*flows + 1024)}
	g := &rig{t: t, ctl: &testControl{}, now: 1e9}
	mem := alignedBytes(flowtable.Size(layout))
	table, err := flowtable.New(mem, layout, [2]uint64{1, 2}, g.now)
	if err != nil {
		t.Fatal(err)
	}
	g.shared = append(g.shared, mem)
	for i := range g.master {
		g.master[i] = byte(i)
	}
	cache := mbuf.NewCache(arena)
	g.in, g.out = &testQueue{cache: cache}, &testQueue{cache: cache}
	g.in.sent = func(m *mbuf.Mbuf) { g.note(&g.toHost, m) }
	g.out.sent = func(m *mbuf.Mbuf) { g.note(&g.toWire, m) }
	requests, replies := g.ring(), g.ring()
	g.asked, g.answer = shm.NewConsumer(requests), shm.NewProducer(replies)
	params := DefaultParams()
	params.Flows, params.HalfOpen, params.Tombs, params.Met = flows, testHalfOpen, testTombs, testMet
	cfg := Config{
		Inside: g.in, Outside: g.out, TxCksum: [2]bool{offload, offload}, Cache: cache, Table: table, Engine: engine,
		Requests: shm.NewProducer(requests), Replies: shm.NewConsumer(replies), Control: g.ctl, Pairs: new(Pairs), Params: params,
		Stream: stream.Config{
			Keys: 2*flows + 64, OutOfOrder: 64, Reassemblies: 16, Gaps: 16, Deliveries: 64, LargeBuffers: 2, FlowFrames: 8192, FlowBytes: 8 << 20,
			FlowOutOfOrder: 64, AuthFailures: 3, Linger: 1e9,
		},
	}
	for _, f := range change {
		f(&cfg)
	}
	g.w, err = New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	fixed := flowtable.FoldKey{1, 2} // under which none of the peers of these tests fall together
	g.w.peers.key, g.w.tombs.key, g.w.hates.key, g.w.blocks.peers.key = fixed, fixed, fixed, fixed
	g.tpl = [2]packet.Template{flowTemplate(0, true), flowTemplate(0, false)}
	if t, ok := t.(*testing.T); ok {
		t.Cleanup(func() { g.checkLeaks(t, buffers) })
	}
	return g
}

// checkLeaks ends the worker and shows that it has given everything back.
func (g *rig) checkLeaks(t *testing.T, buffers int) {
	g.w.Shutdown(g.now, func() {})
	if n := g.in.cache.Avail(); n != buffers {
		t.Errorf("%d of %d buffers did not come back", buffers-n, buffers)
	}
	if g.w.blocks.used != 0 || g.w.table.Len() != 0 {
		t.Errorf("%d blocks and %d records are left", g.w.blocks.used, g.w.table.Len())
	}
	for i := range g.w.pairs.counts {
		if n := g.w.pairs.counts[i].Load(); n != 0 {
			t.Errorf("pair %d counts %d connections", i, n)
		}
	}
}

func (g *rig) note(to *[][]byte, m *mbuf.Mbuf) {
	if g.keep {
		*to = append(*to, append([]byte(nil), m.Data()...))
	}
}

// Stocks of a rig's table besides its flows.
const (
	testHalfOpen = 16
	testTombs    = 4
	testMet      = 4
)

// flowAddr gives flow n an address and a port of its own.
func flowTemplate(n int, fromInside bool) packet.Template {
	t := packet.Template{L2Len: 14, Ver: 4, TTL: 64, DF: 1, SrcPort: uint16(1024 + n%60000), DstPort: 80}
	t.L2[12] = 0x08
	copy(t.Src[10:], []byte{0xff, 0xff, 10, 1, byte(n / 60000), 1})
	copy(t.Dst[10:], []byte{0xff, 0xff, 10, 2, 0, 1})
	if fromInside {
		return t
	}
	t.Reverse()
	return t
}

const (
	hostISN = 1000
	peerISN = 5_000_000
)

// raw builds a segment as bytes, with right checksums.
func (g *rig) raw(tpl packet.Template, seg packet.Seg, payload []byte) []byte {
	g.t.Helper()
	m := g.in.cache.Alloc()
	defer g.in.cache.Free(m)
	var p packet.Packet
	if !p.Build(m, &tpl, &seg, len(payload)) {
		g.t.Fatal("segment cannot be built")
	}
	copy(p.PayloadBytes(), payload)
	p.Finish(false)
	return append([]byte(nil), m.Data()...)
}

// feed brings one packet in through a port and lets the worker and the control plane work it.
func (g *rig) feed(q *testQueue, b []byte) {
	q.fill = func(m *mbuf.Mbuf) bool { return m.Append(b) }
	q.limit = 1
	g.turn()
}

// trustedNotFilled is how a port reports a checksum that it knows to be unfinished.
const trustedNotFilled = mbuf.RxL4CksumGood | mbuf.RxL4CksumBad

// feedFlags is feed with what the port says of the packet.
func (g *rig) feedFlags(q *testQueue, b []byte, flags uint64) {
	q.fill = func(m *mbuf.Mbuf) bool {
		m.OlFlags = flags
		return m.Append(b)
	}
	q.limit = 1
	g.turn()
}

// turn lets the worker and the control plane work until neither has anything to do.
func (g *rig) turn() {
	for g.poll()+g.control() > 0 {
	}
}

// poll polls the worker, and counts what it takes from the heap where somebody wants to know.
func (g *rig) poll() (work int) {
	if g.polled == nil {
		return g.w.Poll(g.now)
	}
	*g.polled += mallocs(func() { work = g.w.Poll(g.now) })
	return work
}

// control answers what the worker asked.
func (g *rig) control() int {
	n := 0
	for !g.mute {
		msg, err := g.asked.Peek()
		if err != nil || msg == nil {
			break
		}
		var q shm.Request
		if err := q.Decode(msg); err != nil {
			g.t.Fatal(err)
		}
		g.asks = append(g.asks, q.Kind)
		if q.Kind == shm.Closed {
			g.closed = append(g.closed, q.Reason)
		}
		g.reply(&q)
		g.asked.Release()
		n++
	}
	return n
}

func (g *rig) reply(q *shm.Request) {
	rep := shm.Reply{Ref: q.Ref, Seq: q.Seq}
	switch q.Kind {
	case shm.ActiveAnswer:
		rep.Kind, rep.Init, rep.Secret, rep.TEP = shm.Init1, initMessage(tcpcrypt.KindInit1), []byte{1}, byte(tcpcrypt.ECDHECurve25519)
	case shm.PassiveKeys, shm.ActiveKeys:
		rep.Kind, rep.Role, rep.TEP, rep.AEAD = shm.Keys, flowtable.RoleA, byte(tcpcrypt.ECDHECurve25519), uint16(tcpcrypt.AES128GCM)
		rep.Keys.Master = g.master
		if q.Kind == shm.PassiveKeys {
			rep.Role, rep.Init = flowtable.RoleB, initMessage(tcpcrypt.KindInit2)
		}
	default:
		return
	}
	if g.change != nil {
		g.change(q, &rep)
	}
	if !g.answer.SendReply(&rep) {
		g.t.Fatal("reply does not fit")
	}
}

// initMessage is an Init message of 80 bytes; nobody looks into it here.
func initMessage(kind tcpcrypt.InitKind) []byte {
	b := make([]byte, 80)
	binary.BigEndian.PutUint32(b, uint32(kind))
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)))
	return b
}

// mssOption is the MSS option for 1460 bytes, and wscaleOption, padded, that for a shift of 10.
var synOptions = []byte{2, 4, 5, 180, 1, 3, 3, 10}

// openPassive takes flow n through connection set-up, opened by the far end.
func (g *rig) openPassive(n int) *flowtable.Record {
	g.t.Helper()
	in, out := flowTemplate(n, true), flowTemplate(n, false)
	enoA := []byte{eno.Kind, 3, byte(tcpcrypt.ECDHECurve25519)}
	g.feed(g.out, g.raw(out, packet.Seg{Seq: peerISN, Win: 65535, Flags: packet.FlagSYN, Other: synOptions, ENO: enoA}, nil))
	g.feed(g.in, g.raw(in, packet.Seg{Seq: hostISN, Ack: peerISN + 1, Win: 65535, Flags: packet.FlagSYN | packet.FlagACK, Other: synOptions}, nil))
	g.feed(g.out, g.raw(out, packet.Seg{Seq: peerISN + 1, Ack: hostISN + 1, Win: 65535, Flags: packet.FlagACK | packet.FlagPSH, ENO: enoACK},
		initMessage(tcpcrypt.KindInit1)))
	g.feed(g.in, g.raw(in, packet.Seg{Seq: hostISN + 1, Ack: peerISN + 1, Win: 65535, Flags: packet.FlagACK}, nil))
	g.feed(g.out, g.raw(out, packet.Seg{Seq: peerISN + 81, Ack: hostISN + 81, Win: 65535, Flags: packet.FlagACK}, nil))
	r := g.record(n)
	if r == nil || r.State != flowtable.Encrypted {
		g.t.Fatalf("flow %d did not become encrypted: %+v", n, r)
	}
	return r
}

func (g *rig) record(n int) *flowtable.Record {
	tpl := flowTemplate(n, true)
	k := flowtable.Key{Inside: tpl.Src, Outside: tpl.Dst, InsidePort: tpl.SrcPort, OutsidePort: tpl.DstPort}
	i := g.w.table.Lookup(&k, g.w.table.Hash(&k))
	if i == 0 {
		return nil
	}
	return g.w.table.Record(i)
}
