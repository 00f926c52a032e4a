package stream

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// pkt is a TCP segment on a link of the simulation.
type pkt struct {
	seq, ack uint32
	win, urg uint16
	flags    uint8
	ts, ecr  uint32
	sack     [][2]uint32
	data     []byte
}

func (p *pkt) String() string {
	return fmt.Sprintf("seq %d ack %d win %d flags %02x len %d sack %v urg %d", p.seq, p.ack, p.win, p.flags, len(p.data), p.sack, p.urg)
}

// node is an end of links.
type node interface {
	receive(w *world, from int, p *pkt)
	tick(w *world)
	deadline() int64
}

// impairment says what a link does to packets, as probabilities.
type impairment struct {
	loss, dup, reorder, split, oneByte, corrupt float64
}

type arrival struct {
	at   int64
	n    int
	to   node
	from int
	p    *pkt
}

type arrivals []arrival

func (a arrivals) Len() int { return len(a) }
func (a arrivals) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].n < a[j].n
}
func (a arrivals) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *arrivals) Push(x any)   { *a = append(*a, x.(arrival)) }
func (a *arrivals) Pop() any {
	old := *a
	x := old[len(old)-1]
	*a = old[:len(old)-1]
	return x
}

// world is the virtual time and everything in flight.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	now   int64
	queue arrivals
	n     int
	nodes []node
	trace bool
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{t: t, rng: rand.New(rand.NewPCG(seed, 7)), now: 1e9}
}

const linkDelay = 5e6

// send puts a packet on a link with impairments.
func (w *world) send(to node, from int, p *pkt, im *impairment) {
	if im == nil {
		im = &impairment{}
	}
	if len(p.data) > 1 && w.rng.Float64() < im.split {
		at := 1 + w.rng.IntN(len(p.data)-1)
		if w.rng.Float64() < im.oneByte {
			at = 1
		}
		a, b := *p, *p
		a.data, b.data = p.data[:at], p.data[at:]
		a.flags &^= FIN | PSH
		b.seq += uint32(at)
		w.send(to, from, &a, im)
		w.send(to, from, &b, im)
		return
	}
	if w.rng.Float64() < im.loss {
		return
	}
	copies := 1
	if w.rng.Float64() < im.dup {
		copies = 2
	}
	for range copies {
		delay := int64(linkDelay)
		if w.rng.Float64() < im.reorder {
			delay += w.rng.Int64N(20e6)
		}
		q := *p
		q.data = bytes.Clone(p.data)
		if len(q.data) > 0 && w.rng.Float64() < im.corrupt {
			q.data[w.rng.IntN(len(q.data))] ^= 1 << w.rng.IntN(8)
		}
		w.n++
		heap.Push(&w.queue, arrival{at: w.now + delay, n: w.n, to: to, from: from, p: &q})
	}
}

// run lets time pass until done says so, nothing can happen any more, or limit.
func (w *world) run(limit int64, done func() bool) bool {
	for steps := 0; !done(); steps++ {
		next := int64(0)
		if len(w.queue) > 0 {
			next = w.queue[0].at
		}
		for _, n := range w.nodes {
			if d := n.deadline(); d != 0 && (next == 0 || d < next) {
				next = d
			}
		}
		if next == 0 || next > limit || steps > 3e6 {
			return false
		}
		w.now = max(w.now, next)
		for len(w.queue) > 0 && w.queue[0].at <= w.now {
			a := heap.Pop(&w.queue).(arrival)
			a.to.receive(w, a.from, a.p)
		}
		for _, n := range w.nodes {
			if d := n.deadline(); d != 0 && d <= w.now {
				n.tick(w)
			}
		}
	}
	return true
}

const hdrLen = 66

var hdrPattern = bytes.Repeat([]byte{0xA5, 0x3C, 0x77}, hdrLen/3)

// gateway is a Core with one flow, between an inside and an outside node.
type gateway struct {
	name    string
	core    *Core
	cache   *mbuf.Cache
	arena   *mbuf.Arena
	size    int
	rec     flowtable.Record
	out     *Output
	batcher cryptobatch.Batcher
	inside  node
	outside node
	insideL *impairment
	wire    *impairment
	keys    Keys
	init    []byte // own Init message, sent when the peer's has come (role B)
	events  []Event
	early   []*pkt // toward the host before keys

	sent     []byte // every wire byte sent, by position
	sentMark []bool
	edgeTold uint64 // largest right edge told to the wire, in the other direction's positions
	peer     *gateway
	freed    bool

	forget    float64 // how probable it is that the bytes of frames in flight are dropped before a packet is worked
	orders    float64 // and that rekeying is ordered
	partAcked bool    // a part of a frame was acknowledged to the host
}

const testFlow = flowtable.Index(1)

func testCore(tb testing.TB, bufs int, change func(*Config)) (*Core, *mbuf.Cache, *mbuf.Arena, cryptobatch.Batcher) {
	tb.Helper()
	arena, err := mbuf.NewArena(bufs, mbuf.DefaultDataRoom)
	if err != nil {
		tb.Fatal(err)
	}
	engine, err := cryptobatch.New(cryptobatch.Auto)
	if err != nil {
		tb.Fatal(err)
	}
	cache := mbuf.NewCache(arena)
	cfg := Config{
		Cache: cache, Engine: engine, Chunks: flowtable.FormatChunks(make([]flowtable.Chunk, 400)),
		Keys: 16, OutOfOrder: 2000, Reassemblies: 4, Gaps: 4, Deliveries: 1000, LargeBuffers: 16, AuthFailures: 3, Linger: 20e9,
	}
	if change != nil {
		change(&cfg)
	}
	core, err := NewCore(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		core.Close()
		_ = arena.Close()
	})
	return core, cache, arena, engine.NewBatcher(32)
}

func newGateway(t *testing.T, name string, change func(*Config)) *gateway {
	g := &gateway{name: name, out: NewOutput(32), size: 6000}
	g.core, g.cache, g.arena, g.batcher = testCore(t, g.size, change)
	return g
}

// link is what both ends of a connection agreed on.
type link struct {
	flags     uint8
	clientISN uint32
	serverISN uint32
	mss       uint16
	clientWS  uint8
	serverWS  uint8
	clientWin uint32
	serverWin uint32
	aead      tcpcrypt.AEAD
}

func defaultLink(rng *rand.Rand) link {
	l := link{
		flags: flowtable.FlagWScale, clientISN: rng.Uint32(), serverISN: rng.Uint32(), mss: 1460,
		clientWS: uint8(rng.IntN(9)), serverWS: uint8(rng.IntN(9)), clientWin: 65535, serverWin: 65535,
		aead: tcpcrypt.AEADs()[rng.IntN(3)],
	}
	if rng.IntN(2) == 0 {
		l.flags |= flowtable.FlagSACK
	}
	if rng.IntN(2) == 0 {
		l.flags |= flowtable.FlagTimestamps
	}
	if rng.IntN(2) == 0 {
		l.clientISN = -uint32(rng.IntN(5000))
	}
	return l
}

func initMessage(kind tcpcrypt.InitKind, n int) []byte {
	b := make([]byte, n)
	binary.BigEndian.PutUint32(b, uint32(kind))
	binary.BigEndian.PutUint32(b[4:], uint32(n))
	for i := 8; i < n; i++ {
		b[i] = byte(i)
	}
	return b
}

// start sets the flow up as the handshake does. client says whether the host is the client.
func (g *gateway) start(w *world, l *link, client bool) {
	host := flowtable.Endpoint{ISN: l.clientISN, MSS: l.mss, WScale: l.clientWS, Win: l.clientWin}
	peer := flowtable.Endpoint{ISN: l.serverISN, MSS: l.mss, WScale: l.serverWS, Win: l.serverWin}
	g.keys = Keys{AEAD: l.aead, Master: tcpcrypt.MasterKey{1, 2, 3}, Egress: tcpcrypt.AB}
	g.rec.Role = flowtable.RoleA
	if !client {
		host, peer = peer, host
		g.keys.Egress = tcpcrypt.BA
		g.rec.Role = flowtable.RoleB
	}
	g.rec.Host, g.rec.Peer, g.rec.Flags = host, peer, uint16(l.flags)
	g.core.Start(testFlow, &g.rec, w.now)
	g.edgeTold = uint64(host.Win)
	w.nodes = append(w.nodes, g)
}

func (g *gateway) receive(w *world, from int, p *pkt) {
	m := g.cache.Alloc()
	if m == nil {
		return
	}
	m.Append(hdrPattern)
	if !m.Append(p.data) {
		w.t.Fatalf("%s: packet of %d bytes does not fit", g.name, len(p.data))
	}
	seg := Segment{
		M: m, Off: m.DataOff() + hdrLen, Len: len(p.data), Seq: p.seq, Ack: p.ack, Win: p.win, Urg: p.urg,
		Flags: p.flags, HasTS: g.rec.Flags&flowtable.FlagTimestamps != 0, TSVal: p.ts, TSEcr: p.ecr,
	}
	for _, b := range p.sack {
		seg.SACK[seg.NSACK] = b
		seg.NSACK++
	}
	if w.trace {
		fmt.Printf("%d %s <- %d %v\n", w.now/1e6, g.name, from, p)
	}
	if g.forget > 0 && w.rng.Float64() < g.forget {
		g.core.dropHeld(&g.rec, shm.KeptDropped)
	}
	if g.orders > 0 && w.rng.Float64() < g.orders {
		g.core.Rekey(testFlow, &g.rec, w.now, g.out)
	}
	g.partAcked = g.partAcked || g.rec.Egress.PartAcked > 0
	g.translate(w, from, &seg)
	// Bursts of random length: the operations of several segments are worked together.
	if w.rng.IntN(4) > 0 || !g.out.Room() {
		g.flush(w)
	}
}

// translate gives a segment to the translator: to the fast path first, three times of four.
func (g *gateway) translate(w *world, from int, seg *Segment) {
	fast := fastPath && w.rng.IntN(4) > 0 && seg.NSACK == 0
	switch {
	case from == fromHost:
		if !fast || !g.core.takeFast(testFlow, &g.rec, seg, false, w.now, g.out) {
			g.core.EgressSegment(testFlow, &g.rec, seg, w.now, g.out)
		}
	case !fast || !g.core.takeFast(testFlow, &g.rec, seg, true, w.now, g.out):
		g.core.IngressSegment(testFlow, &g.rec, seg, w.now, g.out)
	}
}

// fastPath is false where LINECRYPT_FASTPATH=off lets the tests run through the full translator alone.
var fastPath = os.Getenv("LINECRYPT_FASTPATH") != "off"

const (
	fromHost = iota
	fromWire
)

func (g *gateway) tick(w *world) {
	g.flush(w)
	if g.freed {
		return
	}
	if d := g.core.Deadline(&g.rec); d != 0 && d <= w.now {
		g.core.Timeout(testFlow, &g.rec, w.now, g.out)
	}
	g.flush(w)
}

func (g *gateway) deadline() int64 {
	if len(g.out.Emits) > 0 || g.out.Pending() {
		return 1
	}
	if g.freed {
		return 0
	}
	return g.core.Deadline(&g.rec)
}

func (g *gateway) flush(w *world) {
	for g.out.Pending() {
		g.batcher.Seal(g.out.Seals)
		g.core.Sealed(g.out, w.now)
		g.batcher.Open(g.out.Opens)
		g.core.Opened(g.out, w.now)
	}
	events := append([]Event(nil), g.out.Events...)
	emits := append([]Emit(nil), g.out.Emits...)
	g.out.Reset()
	for i := range emits {
		g.transmit(w, &emits[i])
	}
	for _, ev := range events {
		g.events = append(g.events, ev)
		g.event(w, ev)
	}
}

func (g *gateway) event(w *world, ev Event) {
	switch ev.Kind {
	case EventInit:
		if g.init != nil && !g.core.QueueInit(testFlow, &g.rec, g.init, w.now, g.out) {
			w.t.Fatalf("%s: Init2 refused", g.name)
		}
		if err := g.core.InstallKeys(testFlow, &g.rec, &g.keys, w.now, g.out); err != nil {
			w.t.Fatal(err)
		}
		for _, p := range g.early {
			g.receive(w, fromHost, p)
		}
		g.early = nil
		g.flush(w)
	case EventRelease:
		g.core.Release(testFlow, &g.rec)
		g.freed = true
	}
}

// transmit turns an emit into a packet, checks it and puts it on its link.
func (g *gateway) transmit(w *world, e *Emit) {
	e.placeHeaders()
	if e.Kind == EmitNone {
		return
	}
	buf := e.M.Buf()
	if e.Kind != EmitBuild {
		start := e.M.DataOff()
		if e.Off-start != hdrLen || !bytes.Equal(buf[start:e.Off], hdrPattern) {
			w.t.Fatalf("%s: headers of a forwarded packet are damaged (%d bytes)", g.name, e.Off-start)
		}
		if int(e.M.DataLen) != hdrLen+e.Len {
			w.t.Fatalf("%s: bounds of a forwarded packet: %d, want %d", g.name, e.M.DataLen, hdrLen+e.Len)
		}
	} else if e.Off < BuildOffset {
		w.t.Fatalf("%s: built packet without room for headers", g.name)
	}
	p := &pkt{seq: e.Seq, ack: e.Ack, win: e.Win, urg: e.Urg, flags: e.Flags, ts: e.TSVal, ecr: e.TSEcr, data: bytes.Clone(buf[e.Off : e.Off+e.Len])}
	p.sack = append(p.sack, e.SACK[:e.NSACK]...)
	g.cache.Free(e.M)
	if w.trace {
		fmt.Printf("%d %s -> %d %v\n", w.now/1e6, g.name, e.Dir, p)
	}
	if e.Dir == ToHost {
		w.send(g.inside, fromWire, p, g.insideL)
		return
	}
	g.checkWire(w, p)
	w.send(g.outside, fromWire, p, g.wire)
}

// checkWire holds what must be true of everything on the wire.
func (g *gateway) checkWire(w *world, p *pkt) {
	pos := unwrap(p.seq, g.rec.Host.ISN+1, g.rec.Egress.WNext)
	for i, b := range p.data {
		at := int(pos) + i
		for len(g.sent) <= at {
			g.sent, g.sentMark = append(g.sent, 0), append(g.sentMark, false)
		}
		if g.sentMark[at] && g.sent[at] != b {
			w.t.Fatalf("%s: wire position %d carries two different bytes", g.name, at)
		}
		g.sent[at], g.sentMark[at] = b, true
	}
	if n := len(p.data); n > 0 && g.peer != nil && uint64(pos)+uint64(n) > g.peer.edgeTold {
		w.t.Fatalf("%s: wire data to %d beyond the announced edge %d", g.name, int(pos)+n, g.peer.edgeTold)
	}
	if p.flags&ACK != 0 && p.flags&RST == 0 {
		a := unwrap(p.ack, g.rec.Peer.ISN+1, g.rec.Ingress.WAcked)
		if a >= 0 {
			g.edgeTold = max(g.edgeTold, uint64(a)+uint64(p.win)<<g.rec.Host.WScale)
		}
	}
}

// leaks returns the buffers that are still held after Release.
func (g *gateway) leaks() int { return g.size - g.cache.Avail() }
