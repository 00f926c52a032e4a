package ends

import (
	"encoding/binary"

	"linecrypt/bench/pattern"
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// Offsets and lengths of what established connections send, in bytes: Ethernet, IPv4, TCP with timestamps, and SACK blocks behind them.
const (
	ipAt      = 14
	tcpAt     = ipAt + 20
	optsAt    = tcpAt + 20
	stampLen  = 12
	payloadAt = optsAt + stampLen
	sackLen   = 4 // of the option's head, padded
	blockLen  = 8
	maxBlocks = 3
)

// shift is the window scale of all ends, and window what they announce: 16 MB.
const (
	shift  = 8
	window = 0xffff
)

// head is what all segments of established connections begin with.
var head = [payloadAt]byte{
	0: 0x02, 5: 2, 6: 0x02, 11: 1, 12: 0x08,
	ipAt: 0x45, ipAt + 6: 0x40, ipAt + 8: 64, ipAt + 9: 6,
	tcpAt + 12: (20 + stampLen) << 2, tcpAt + 14: window >> 8, tcpAt + 15: window & 0xff,
	optsAt: 1, optsAt + 1: 1, optsAt + 2: packet.KindTimestamps, optsAt + 3: 10,
}

const flagsData = packet.FlagACK | packet.FlagPSH

// sideOf returns the gateway's side at which the sender of a direction is.
func sideOf(d direction) flowtable.Side { return flowtable.Side(d) }

// segment makes a segment from the sender of direction d in m, with room for payload bytes, and returns those.
func (e *Ends) segment(m *mbuf.Mbuf, n uint32, d direction, flags uint8, seq uint32, payload int) []byte {
	f := &e.flows[n]
	other := d.reverse()
	in := &f.halves[other]
	ack := f.isn[other] + 1 + uint32(e.place(f, n, other, false, in.told))
	if in.finGot && in.told == in.got {
		ack += finLen(f, other, false)
	}
	at := payloadAt
	blocks := 0
	if in.beyond != 0 {
		blocks = e.blocks(f, n, other)
		at += sackLen + blocks*blockLen
	}
	m.SetBounds(mbuf.Headroom, at+payload)
	b := m.Data()
	copy(b, head[:])
	e.addresses(b, f, n, d)
	binary.BigEndian.PutUint32(b[tcpAt+4:], seq)
	binary.BigEndian.PutUint32(b[tcpAt+8:], ack)
	b[tcpAt+13] = flags
	binary.BigEndian.PutUint32(b[optsAt+4:], e.tick+f.isn[0])
	binary.BigEndian.PutUint32(b[optsAt+8:], f.saw[d])
	if blocks > 0 {
		e.putBlocks(b, blocks)
	}
	finishIP(b)
	in.due = 0 // whatever asked for an acknowledgement has one
	return b[at:]
}

// addresses writes addresses and ports.
func (e *Ends) addresses(b []byte, f *flow, n uint32, d direction) {
	h, hp, fa, fp := hostAddr(n), hostPort(n), farAddr(n), farPort(f.life)
	if d == down {
		h, hp, fa, fp = fa, fp, h, hp
	}
	putAddr(b[ipAt+12:], h)
	putAddr(b[ipAt+16:], fa)
	binary.BigEndian.PutUint16(b[tcpAt:], hp)
	binary.BigEndian.PutUint16(b[tcpAt+2:], fp)
}

// finishIP completes the IPv4 header.
func finishIP(b []byte) {
	binary.BigEndian.PutUint16(b[ipAt+2:], uint16(len(b)-ipAt))
	b[ipAt+10], b[ipAt+11] = 0, 0
	binary.BigEndian.PutUint16(b[ipAt+10:], ^packet.Sum(b[ipAt:tcpAt], 0))
}

// finishTCP fills in the TCP checksum of a segment.
func (e *Ends) finishTCP(m *mbuf.Mbuf, c Checksum) {
	switch c {
	case Trusted:
		m.OlFlags = mbuf.RxIPCksumGood | mbuf.RxL4CksumGood
	case Offload:
		if e.pkt.Parse(m) == packet.TCP {
			e.pkt.Finish(true)
		}
	default:
		b := m.Data()
		t := b[tcpAt:]
		t[16], t[17] = 0, 0
		binary.BigEndian.PutUint16(t[16:], ^packet.Sum(t, packet.Sum(b[ipAt+12:tcpAt], uint16(len(t))+6)))
	}
}

// stream is the pattern that a direction of a connection carries in its life.
func (f *flow) stream(n uint32, d direction) uint32 { return (2*n + uint32(d)) ^ f.life<<20&0xf00000 }

// data makes segment k of the data of a direction, and an operation that seals it where it is the far end's.
func (e *Ends) data(m *mbuf.Mbuf, n uint32, d direction, k uint64) {
	f := &e.flows[n]
	e.tell(n, d.reverse(), f.halves[d.reverse()].got)
	size := e.size(n, k)
	seq := f.isn[d] + 1 + uint32(e.place(f, n, d, true, k))
	if d == up || f.plain {
		b := e.segment(m, n, d, flagsData, seq, size)
		pattern.Fill(b, f.stream(n, d), int64(e.plainPos(n, k)))
		return
	}
	b := e.segment(m, n, d, flagsData, seq, size+tcpcrypt.Overhead)
	pattern.Fill(b[tcpcrypt.HeaderLen+tcpcrypt.FlagsLen:][:size], f.stream(n, d), int64(e.plainPos(n, k)))
	h := &f.halves[d]
	e.seal(b, n, frame{pos: e.wirePos(f, n, d, k), gen: h.generation(k), rekey: h.begins(k)})
}

// frame is what the far end seals, beside its data.
type frame struct {
	pos   uint64 // in the far end's stream, on the wire
	gen   uint32 // generation of the key
	flags byte
	rekey bool // it begins the generation
}

// seal makes b, of which the data is in place, a frame.
func (e *Ends) seal(b []byte, n uint32, fr frame) {
	h := tcpcrypt.Header{Clen: uint16(len(b) - tcpcrypt.HeaderLen)}
	if fr.rekey {
		h.Control = tcpcrypt.ControlRekey
	}
	h.Put(b)
	b[tcpcrypt.HeaderLen] = fr.flags
	body := b[tcpcrypt.HeaderLen:]
	key, nr := e.keys.of(&e.flows[n], n, down, fr.gen)
	e.seals = append(e.seals, cryptobatch.Op{
		Key: key, Src: body[:len(body)-tcpcrypt.TagLen], Dst: body, AAD: b[:tcpcrypt.HeaderLen], Nonce: tcpcrypt.Nonce(*nr, fr.pos),
	})
	if len(e.seals) == cap(e.seals) {
		e.sealAll()
	}
}

// sealAll works what is to be sealed.
func (e *Ends) sealAll() {
	if len(e.seals) == 0 {
		return
	}
	if e.batch.Seal(e.seals) > 0 {
		e.wrong("the far end cannot seal: %v", e.seals[0].Status)
	}
	e.seals = e.seals[:0]
}
