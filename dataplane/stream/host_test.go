package stream

import (
	"bytes"
	"math/rand/v2"

	"linecrypt/flowtable"
)

// host is a model of a plain TCP endpoint: it sends a stream and collects one.
type host struct {
	name           string
	gw             node
	link           *impairment
	fromID         int
	rng            *rand.Rand
	isn, peerISN   uint32
	wscale, pscale uint8
	mss            int
	sackOK, ts     bool

	out       []byte
	fin       bool // a FIN follows out
	una, nxt  int  // positions; the FIN takes one
	max       int
	wnd       int // right edge
	dup       int
	rto       int64
	timer     int64
	cwnd      int
	started   bool
	probeData bool

	in       []byte // delivered to the application
	buf      []byte // whole received stream, holes included
	have     []bool
	rcv      int
	finAt    int // position of the peer's FIN, -1
	gotFIN   bool
	reset    bool
	rcvBuf   int
	unread   int
	slow     bool // the application reads now and then only
	readAt   int64
	tsRecent uint32
	lastEdge int
	mark     []int // positions where the sender must cut segments
	urgents  []int // index of the last urgent byte of received segments

	selective bool // sends again what is missing below what was selectively acknowledged
	sacked    []bool
	again     map[int]int64 // when a position was sent again
	timeouts  int
	lose      func(seq int) bool // of segments sent for the first time
	shrink    bool               // what is sent again is cut into smaller segments
	lie       float64            // how probable it is that a byte of what is sent again, and was framed, is another one
	framed    *uint64
}

func newHost(name string, rng *rand.Rand, out []byte) *host {
	return &host{name: name, rng: rng, out: out, fin: true, rto: 300e6, cwnd: 20000, finAt: -1, rcvBuf: 60000}
}

func (h *host) total() int {
	if h.fin {
		return len(h.out) + 1
	}
	return len(h.out)
}

func (h *host) start(w *world) {
	h.started = true
	w.nodes = append(w.nodes, h)
	h.output(w)
}

func (h *host) packet(w *world, seq int, flags uint8, data []byte) *pkt {
	free := max(h.rcvBuf-h.unread, 0)
	// The right edge never moves left, as RFC 9293 asks.
	edge := max(h.rcv+free, h.lastEdge)
	win := min((edge-h.rcv)>>h.wscale, 65535)
	h.lastEdge = max(h.lastEdge, h.rcv+win<<h.wscale)
	p := &pkt{seq: h.isn + 1 + uint32(seq), ack: h.peerISN + 1 + uint32(h.rcv), win: uint16(win), flags: flags | ACK, data: data}
	if h.gotFIN {
		p.ack++
	}
	if h.ts {
		p.ts, p.ecr = uint32(w.now/1e6), h.tsRecent
	}
	if h.sackOK {
		p.sack = h.sackBlocks()
	}
	return p
}

func (h *host) sackBlocks() (blocks [][2]uint32) {
	for i := h.rcv; i < len(h.have) && len(blocks) < 3; {
		for i < len(h.have) && !h.have[i] {
			i++
		}
		start := i
		for i < len(h.have) && h.have[i] {
			i++
		}
		if i > start {
			blocks = append(blocks, [2]uint32{h.peerISN + 1 + uint32(start), h.peerISN + 1 + uint32(i)})
		}
	}
	return blocks
}

func (h *host) transmit(w *world, p *pkt) { w.send(h.gw, h.fromID, p, h.link) }

// segment sends one segment from a position and returns the position behind it.
func (h *host) segment(w *world, at, limit int) int {
	n := min(h.mss, len(h.out)-at, limit-at)
	if h.rng.IntN(4) == 0 && n > 1 {
		n = 1 + h.rng.IntN(n)
	}
	if h.shrink && at < h.max {
		n = min(n, h.mss*2/5)
	}
	n = max(n, 0)
	for _, m := range h.mark {
		if m > at && m < at+n {
			n = m - at
		}
	}
	end := at + n
	flags := uint8(PSH)
	if h.fin && end == len(h.out) {
		flags |= FIN
		end++
	}
	data := h.out[at : at+n]
	if n > 0 && h.lie > 0 && uint64(end) <= *h.framed && h.rng.Float64() < h.lie {
		data = bytes.Clone(data)
		data[h.rng.IntN(n)] ^= 0x10
	}
	p := h.packet(w, at, flags, data)
	if h.lose == nil || at < h.max || !h.lose(at) {
		h.transmit(w, p)
	}
	return end
}

// output sends what the window takes.
func (h *host) output(w *world) {
	if h.reset || !h.started {
		return
	}
	for h.nxt < h.total() {
		limit := min(h.wnd, h.una+h.cwnd)
		if h.nxt >= limit {
			break
		}
		h.nxt = h.segment(w, h.nxt, limit)
		h.max = max(h.max, h.nxt)
	}
	if h.timer == 0 && h.una < h.total() {
		h.timer = w.now + h.rto
	}
}

func (h *host) deadline() int64 {
	if h.reset {
		return 0
	}
	if h.slow && h.unread > 0 && (h.timer == 0 || h.readAt < h.timer) {
		return max(h.readAt, 1)
	}
	return h.timer
}

func (h *host) tick(w *world) {
	if h.slow && h.unread > 0 && w.now >= h.readAt {
		h.readAt = w.now + 30e6
		h.unread -= min(h.unread, 1+h.rng.IntN(20000))
		h.transmit(w, h.packet(w, h.nxt, 0, nil))
	}
	if h.timer == 0 || w.now < h.timer {
		return
	}
	h.timeouts++
	h.rto = min(h.rto*2, 3e9)
	h.timer = w.now + h.rto
	if h.una >= h.total() {
		h.timeouts--
		h.timer = 0
		return
	}
	if h.wnd <= h.una && h.una == h.max {
		if h.probeData && h.una < len(h.out) {
			h.transmit(w, h.packet(w, h.una, 0, h.out[h.una:h.una+1]))
			return
		}
		h.transmit(w, h.packet(w, h.una-1, 0, nil))
		return
	}
	h.nxt = h.segment(w, h.una, max(h.wnd, h.una+1))
}

func (h *host) receive(w *world, _ int, p *pkt) {
	if h.reset || !h.started {
		return
	}
	seq := int(int32(p.seq-h.peerISN-1-uint32(h.rcv))) + h.rcv
	rcvNext := h.rcv
	if h.gotFIN {
		rcvNext++
	}
	if p.flags&RST != 0 {
		if seq == rcvNext {
			h.reset = true
		} else {
			h.transmit(w, h.packet(w, h.nxt, 0, nil))
		}
		return
	}
	if h.ts {
		if int32(p.ts-h.tsRecent) < 0 {
			h.transmit(w, h.packet(w, h.nxt, 0, nil))
			return
		}
		if seq <= rcvNext {
			h.tsRecent = p.ts
		}
	}
	h.acked(w, p)
	if len(p.data) > 0 || p.flags&FIN != 0 {
		h.data(w, p, seq)
	} else if seq < rcvNext {
		h.transmit(w, h.packet(w, h.nxt, 0, nil))
	}
	h.output(w)
}

func (h *host) acked(w *world, p *pkt) {
	a := int(int32(p.ack-h.isn-1-uint32(h.una))) + h.una
	if a > h.max {
		h.transmit(w, h.packet(w, h.nxt, 0, nil))
		return
	}
	edge := a + int(p.win)<<h.pscale
	switch {
	case a > h.una:
		h.una, h.dup, h.rto = a, 0, 300e6
		h.nxt = max(h.nxt, a)
		h.timer = 0
		if h.una < h.total() {
			h.timer = w.now + h.rto
		}
		h.wnd = edge
	case a == h.una && len(p.data) == 0 && edge == h.wnd && h.una < h.max:
		h.dup++
		if h.dup == 3 && !h.selective {
			h.segment(w, h.una, h.max)
		}
	case a == h.una:
		h.wnd = max(h.wnd, edge)
	}
	if h.selective {
		h.missing(w, p)
	}
}

// missing sends again what lies below selectively acknowledged data, once in a while.
func (h *host) missing(w *world, p *pkt) {
	if h.again == nil {
		h.again, h.sacked = map[int]int64{}, make([]bool, h.total())
	}
	for _, b := range p.sack {
		from, to := int(int32(b[0]-h.isn-1-uint32(h.una)))+h.una, int(int32(b[1]-h.isn-1-uint32(h.una)))+h.una
		if from < 0 || to > h.max || from >= to {
			w.t.Fatalf("%s: SACK of [%d %d), sent %d", h.name, from, to, h.max)
		}
		for i := from; i < to; i++ {
			h.sacked[i] = true
		}
	}
	top := h.max
	for top > h.una && !h.sacked[top-1] {
		top--
	}
	for at := h.una; at < top; {
		end := at
		for end < top && !h.sacked[end] {
			end++
		}
		if t, ok := h.again[at]; end > at && (!ok || w.now > t+100e6) {
			h.again[at] = w.now
			end = h.segment(w, at, end)
		}
		at = max(end, at+1)
	}
}

func (h *host) data(w *world, p *pkt, seq int) {
	for len(h.buf) < seq+len(p.data) {
		h.buf, h.have = append(h.buf, 0), append(h.have, false)
	}
	if p.flags&URG != 0 {
		h.urgents = append(h.urgents, seq+int(p.urg)-1)
	}
	for i, b := range p.data {
		at := seq + i
		if at < h.rcv || at >= max(h.rcv+h.rcvBuf-h.unread, h.lastEdge) {
			continue
		}
		h.buf[at], h.have[at] = b, true
	}
	if p.flags&FIN != 0 {
		h.finAt = seq + len(p.data)
	}
	old := h.rcv
	for h.rcv < len(h.have) && h.have[h.rcv] {
		h.rcv++
	}
	h.in = append(h.in, h.buf[old:h.rcv]...)
	if h.slow {
		h.unread += h.rcv - old
		if h.readAt < w.now {
			h.readAt = w.now + 30e6
		}
	}
	if h.rcv == h.finAt {
		h.gotFIN = true
	}
	h.transmit(w, h.packet(w, h.nxt, 0, nil))
}

// done reports whether everything was sent and acknowledged and the peer's end was seen.
func (h *host) done() bool { return h.una == h.total() && h.gotFIN }

func (h *host) connect(gw node, from int, l *link, client bool, mss int) {
	h.gw, h.fromID, h.mss = gw, from, mss
	h.sackOK, h.ts = l.flags&flowtable.FlagSACK != 0, l.flags&flowtable.FlagTimestamps != 0
	if h.ts {
		h.mss -= tsLen
	}
	if client {
		h.isn, h.peerISN, h.wscale, h.pscale, h.wnd = l.clientISN, l.serverISN, l.clientWS, l.serverWS, int(l.serverWin)
	} else {
		h.isn, h.peerISN, h.wscale, h.pscale, h.wnd = l.serverISN, l.clientISN, l.serverWS, l.clientWS, int(l.clientWin)
	}
	win := l.clientWin
	if !client {
		win = l.serverWin
	}
	h.rcvBuf, h.lastEdge = int(win), int(win)
}

// pattern makes n recognisable bytes.
func pattern(seed byte, n int) []byte {
	b := make([]byte, n)
	x := uint32(seed) + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// firstDifference describes where two streams differ.
func firstDifference(got, want []byte) int {
	n := min(len(got), len(want))
	for i := range n {
		if got[i] != want[i] {
			return i
		}
	}
	if bytes.Equal(got, want) {
		return -1
	}
	return n
}
