package ends

import (
	"bytes"
	"encoding/binary"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
)

// Connections are opened by the far end: SYN with ENO, the host's SYN-ACK, ACK with ENO and Init1, Init2; or, where the scenario says
// so, by the host, in mirror image. Either way the gateway's own code does its part, with a control plane that answers it. A far end
// agrees on keys as RFC 8548 says (section 3.3), except where all connections share a master key: there its Init messages are always
// the same, the control plane of package pktgen answers with that master key, and the gateway installs it as any other.

// opener opens connections.
type opener struct {
	waiting queue // to be opened
	pending map[uint32]*exchange
	open    int // handshakes in progress
	same    *exchange
}

func (o *opener) init(n int) {
	o.waiting.init(n)
	for i := range n {
		o.waiting.push(uint32(i))
	}
	o.pending = make(map[uint32]*exchange)
}

// openLimit is how many handshakes are in progress at most.
const openLimit = 1024

// openStep is how many are begun at once where connections are opened anew.
const openStep = 128

// openPatience is after how many ns a step of a handshake is repeated.
const openPatience = int64(1e9)

var (
	synOptions = []byte{packet.KindMSS, 4, 1460 >> 8, 1460 & 0xff, packet.KindNOP, packet.KindWScale, 3, shift, packet.KindSACKPermitted, 2}
	enoAnswer  = []byte{eno.Kind, 4, 1, byte(tcpcrypt.ECDHECurve25519)}
	enoACK     = []byte{eno.Kind, 2}
)

// Open begins handshakes of up to n connections that wait to be opened, and returns how many it began and how many are not open yet.
func (e *Ends) Open(n int) (began, left int) {
	o := &e.opener
	for began < n && o.waiting.size > 0 && o.open < openLimit {
		e.begin(o.waiting.pop())
		began++
	}
	return began, o.waiting.size + o.open
}

// reopen opens what was closed.
func (e *Ends) reopen() {
	if e.opener.waiting.size > 0 {
		e.Open(openStep)
	}
}

// begin opens connection n, in a new life if it had one.
func (e *Ends) begin(n uint32) {
	f := &e.flows[n]
	*f = flow{life: f.life, plain: f.plain, byHost: e.sc.Traffic.Opener == "host"}
	f.isn = [2]uint32{e.rand.Uint32(), e.rand.Uint32()}
	f.state, f.began = synSent, e.now
	e.opener.open++
	e.syn(n)
}

// syn sends the opener's SYN.
func (e *Ends) syn(n uint32) {
	f := &e.flows[n]
	d := down
	if f.byHost {
		d = up
	}
	seg := packet.Seg{Seq: f.isn[d], Flags: packet.FlagSYN, Other: synOptions}
	if d == down && !f.plain {
		seg.ENO = enoSYN
	}
	e.control(n, d, &seg, nil)
}

// template returns what segments of the sender of direction d look like; it is valid until the next call.
func (e *Ends) template(n uint32, d direction) *packet.Template {
	var b [tcpAt + 4]byte
	copy(b[:], head[:])
	e.addresses(b[:], &e.flows[n], n, d)
	t := &e.tpl
	*t = packet.Template{L2Len: ipAt, Ver: 4, TTL: 64, DF: 1, SrcPort: binary.BigEndian.Uint16(b[tcpAt:]), DstPort: binary.BigEndian.Uint16(b[tcpAt+2:])}
	copy(t.L2[:], b[:ipAt])
	t.Src[10], t.Src[11], t.Dst[10], t.Dst[11] = 0xff, 0xff, 0xff, 0xff
	copy(t.Src[12:], b[ipAt+12:])
	copy(t.Dst[12:], b[ipAt+16:])
	return t
}

// control sends a segment of a handshake from the sender of direction d.
func (e *Ends) control(n uint32, d direction, seg *packet.Seg, payload []byte) {
	f := &e.flows[n]
	m := e.alloc(d)
	if m == nil {
		return // it is repeated, as what is lost
	}
	seg.HasTS, seg.TSVal, seg.TSEcr, seg.Win = true, e.tick+f.isn[0], f.saw[d], window
	kept := e.pkt
	defer func() { e.pkt = kept }() // the packet at hand is still being read
	if !e.pkt.Build(m, e.template(n, d), seg, len(payload)) {
		e.wrong("connection %d: a segment of the handshake has no room for its options", n)
		e.free(sideOf(d), m)
		return
	}
	copy(e.pkt.PayloadBytes(), payload)
	e.put(sideOf(d), m, 0)
}

// handshake handles the packet at hand, from the sender of direction d, in a connection that is not open yet.
func (e *Ends) handshake(n uint32, d direction) {
	p, f := &e.pkt, &e.flows[n]
	if f.state == closed {
		e.Stray++
		return
	}
	f.saw[d.reverse()] = p.Opt.TSVal
	if d == up {
		e.atFarEnd(n)
	} else {
		e.atHost(n)
	}
	if f.state < established && f.hostOpen && f.farOpen {
		f.state = established
		e.opener.open--
		e.Opened++
		delete(e.opener.pending, n)
		e.opened(n)
	}
}

const synAck = packet.FlagSYN | packet.FlagACK

// atHost is what a host does.
func (e *Ends) atHost(n uint32) {
	p, f := &e.pkt, &e.flows[n]
	switch p.Flags & (synAck) {
	case packet.FlagSYN:
		if f.byHost || p.Opt.HasAny(packet.OptENO) {
			e.wrong("connection %d: a SYN at the host that should not be", n)
			return
		}
		f.state = max(f.state, synAckSent)
		e.control(n, up, &packet.Seg{Seq: f.isn[up], Ack: f.isn[down] + 1, Flags: synAck, Other: synOptions}, nil)
	case synAck, packet.FlagACK:
		if (p.Flags&packet.FlagSYN != 0) != f.byHost && !f.hostOpen {
			return
		}
		if p.Ack != f.isn[up]+1 {
			e.wrong("connection %d: the handshake acknowledges %d, not %d", n, p.Ack, f.isn[up]+1)
			return
		}
		h := &f.halves[up]
		h.edge = max(h.edge, uint64(p.Win)<<(shift*(^p.Flags>>1&1))) // the window of a SYN is not scaled
		f.hostOpen = true
		// As a host whose program reads at once does: it tells the gateway that it knows of the connection.
		e.control(n, up, &packet.Seg{Seq: f.isn[up] + 1, Ack: f.isn[down] + 1, Flags: packet.FlagACK}, nil)
	}
}

// atFarEnd is what a far end does.
func (e *Ends) atFarEnd(n uint32) {
	p, f := &e.pkt, &e.flows[n]
	switch {
	case p.Flags&synAck == synAck && !f.byHost:
		e.answered(n)
	case p.Flags&synAck == packet.FlagSYN && f.byHost:
		e.asked(n)
	case p.Flags&packet.FlagSYN != 0 || p.Flags&packet.FlagACK == 0:
		e.wrong("connection %d: a SYN at the far end that should not be", n)
	case f.plain:
		f.farOpen = true
		f.halves[down].edge = max(f.halves[down].edge, uint64(p.Win)<<shift)
	case p.PayloadLen > 0 && !f.farOpen:
		e.initCame(n)
	case f.byHost && f.base[down] > 0:
		e.confirmed(n)
	}
}

// answered: the SYN-ACK came to a far end that opens.
func (e *Ends) answered(n uint32) {
	p, f := &e.pkt, &e.flows[n]
	if p.Ack != f.isn[down]+1 || p.Seq != f.isn[up] {
		e.wrong("connection %d: a SYN-ACK with the wrong numbers", n)
		return
	}
	if f.farOpen {
		e.Again++
		e.acknowledge(n, down, 0)
		return
	}
	f.halves[down].edge = uint64(p.Win)
	if f.plain {
		f.farOpen = true
		e.control(n, down, &packet.Seg{Seq: f.isn[down] + 1, Ack: f.isn[up] + 1, Flags: packet.FlagACK}, nil)
		return
	}
	if !p.Opt.HasAny(packet.OptENO) {
		e.wrong("connection %d: the SYN-ACK has no ENO option: the gateway does not encrypt", n)
		return
	}
	if x := e.opener.pending[n]; x != nil {
		e.sendInit(n, x) // the SYN-ACK came again: the same key goes again, or each end would agree on another one
		return
	}
	x, err := e.exchange(tcpcrypt.KindInit1)
	if err != nil {
		e.wrong("connection %d: %v", n, err)
		return
	}
	x.ownENO, x.theirENO = enoSYN, bytes.Clone(p.ENO())
	e.opener.pending[n] = x
	f.state, f.began = initSent, e.now
	e.sendInit(n, x)
}

// asked: the SYN came to a far end that is opened.
func (e *Ends) asked(n uint32) {
	p, f := &e.pkt, &e.flows[n]
	f.state = max(f.state, synAckSent)
	if !f.plain {
		if !p.Opt.HasAny(packet.OptENO) {
			e.wrong("connection %d: the SYN has no ENO option: the gateway does not encrypt", n)
			return
		}
		if e.opener.pending[n] == nil { // else the SYN came again
			e.opener.pending[n] = &exchange{ownENO: enoAnswer, theirENO: bytes.Clone(p.ENO())}
		}
	}
	e.farSynAck(n)
}

// farSynAck sends the SYN-ACK of a far end.
func (e *Ends) farSynAck(n uint32) {
	f := &e.flows[n]
	seg := packet.Seg{Seq: f.isn[down], Ack: f.isn[up] + 1, Flags: synAck, Other: synOptions}
	if !f.plain {
		seg.ENO = enoAnswer
	}
	e.control(n, down, &seg, nil)
}

// sendInit sends the far end's Init message.
func (e *Ends) sendInit(n uint32, x *exchange) {
	f := &e.flows[n]
	seg := packet.Seg{Seq: f.isn[down] + 1, Ack: f.isn[up] + 1 + uint32(f.base[up]), Flags: flagsData}
	if !f.byHost {
		seg.ENO = enoACK
	}
	e.control(n, down, &seg, x.own)
}

// initCame takes the gateway's Init message.
func (e *Ends) initCame(n uint32) {
	p, f := &e.pkt, &e.flows[n]
	x := e.opener.pending[n]
	if x == nil || p.Seq != f.isn[up]+1 {
		e.wrong("connection %d: data before there are keys", n)
		return
	}
	kind := tcpcrypt.KindInit2
	if f.byHost {
		kind = tcpcrypt.KindInit1
	}
	if size, need, err := tcpcrypt.MessageLen(kind, p.PayloadBytes()); err != nil || need || size != int(p.PayloadLen) {
		e.wrong("connection %d: %d bytes that are not an Init message: %v", n, p.PayloadLen, err)
		return
	}
	if f.byHost && f.base[up] > 0 {
		e.sendInit(n, x) // it came again
		return
	}
	x.their = bytes.Clone(p.PayloadBytes())
	if err := e.agree(n, x); err != nil {
		e.wrong("connection %d: %v", n, err)
		return
	}
	f.base[up], f.base[down] = uint16(len(x.their)), uint16(len(x.own))
	if f.byHost {
		f.state, f.began = initSent, e.now
		e.sendInit(n, x)
		return
	}
	e.control(n, down, &packet.Seg{Seq: f.isn[down] + 1 + uint32(f.base[down]), Ack: f.isn[up] + 1 + uint32(f.base[up]), Flags: packet.FlagACK}, nil)
	e.confirmed(n)
}

// confirmed: the gateway acknowledges the far end's Init message, or answers it.
func (e *Ends) confirmed(n uint32) {
	p, f := &e.pkt, &e.flows[n]
	if p.Ack != f.isn[down]+1+uint32(f.base[down]) {
		return
	}
	h := &f.halves[down]
	h.una = uint64(f.base[down])
	h.edge = h.una + uint64(p.Win)<<shift
	f.farOpen = true
}
