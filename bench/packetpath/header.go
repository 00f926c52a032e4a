package packetpath

import (
	"encoding/binary"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// Where things lie in the packets of flows: Ethernet, IPv4 without options, TCP with timestamps alone.
const (
	ipAt      = 14
	tcpAt     = ipAt + 20
	optionsAt = tcpAt + 20
	payloadAt = optionsAt + 12
)

// optionsHead is what Linux puts before the two timestamps: padding, kind and length.
const optionsHead = 0x0101080a

// Numbers of both ends' first sequence number. Positions in a stream count from the byte behind the SYN.
const (
	hostISN = 1000
	peerISN = 5_000_000
)

var isn = [flowtable.NumSides]uint32{flowtable.Inside: hostISN, flowtable.Outside: peerISN}

// Addresses of the ends. Far ends have four connections each, of which the port tells; a /24 of them has 1,024.
const (
	hostNet   = uint32(10)<<24 | 1<<16
	hosts     = 200
	hostPort  = 443
	peerNet   = uint32(100)<<24 | 64<<16
	peerPorts = 4
	peerPort  = 40000
)

// ends returns the addresses and ports of a flow, the host's first.
func ends(flow int64) (host, peer uint32, hostP, peerP uint16) {
	return hostNet + 1 + uint32(flow%hosts), peerNet + uint32(flow/peerPorts), hostPort, peerPort + uint16(flow%peerPorts)
}

// flowOf is the inverse of ends; the flow is negative for addresses of none.
func flowOf(peer uint32, peerP uint16) int64 {
	return int64(int32(peer-peerNet))*peerPorts + int64(peerP) - peerPort
}

// template returns the headers of a flow's segments from one side, for package packet.
func template(flow int64, from flowtable.Side) *packet.Template {
	host, peer, hostP, peerP := ends(flow)
	t := &packet.Template{L2Len: ipAt, Ver: 4, TTL: 64, DF: 1, SrcPort: hostP, DstPort: peerP}
	t.L2 = l2(from)
	t.Src, t.Dst = mapped(host), mapped(peer)
	if from == flowtable.Outside {
		t.Src, t.Dst, t.SrcPort, t.DstPort = t.Dst, t.Src, peerP, hostP
	}
	return t
}

func l2(from flowtable.Side) (b [22]byte) {
	b = [22]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8}
	if from == flowtable.Outside {
		b[5], b[11] = 2, 1
	}
	return b
}

func mapped(a uint32) (b [16]byte) {
	b[10], b[11] = 0xff, 0xff
	binary.BigEndian.PutUint32(b[12:], a)
	return b
}

// header is what differs between segments.
type header struct {
	flow         int64
	seq, ack     uint32
	tsVal, tsEcr uint32
	n            int // bytes of payload
}

// bare is a segment's headers from each side without what header has.
var bare = func() (b [flowtable.NumSides][payloadAt]byte) {
	for s := range b {
		h := b[s][:]
		from := l2(flowtable.Side(s))
		copy(h, from[:ipAt])
		h[ipAt], h[ipAt+6], h[ipAt+8], h[ipAt+9] = 0x45, 0x40, 64, 6
		h[tcpAt+12], h[tcpAt+13] = (payloadAt-tcpAt)/4<<4, packet.FlagACK
		binary.BigEndian.PutUint16(h[tcpAt+14:], 65535)
		binary.BigEndian.PutUint32(h[optionsAt:], optionsHead)
	}
	return b
}()

// write makes m a segment from a side and returns where its payload goes. The TCP checksum stays 0: the port says that it is good.
func (h *header) write(m *mbuf.Mbuf, from flowtable.Side) []byte {
	m.SetBounds(mbuf.Headroom, payloadAt+h.n)
	b := m.Data()
	copy(b, bare[from][:])
	host, peer, hostP, peerP := ends(h.flow)
	src, dst, srcP, dstP := host, peer, hostP, peerP
	if from == flowtable.Outside {
		src, dst, srcP, dstP = peer, host, peerP, hostP
	}
	be := binary.BigEndian
	be.PutUint16(b[ipAt+2:], uint16(len(b)-ipAt))
	be.PutUint32(b[ipAt+12:], src)
	be.PutUint32(b[ipAt+16:], dst)
	be.PutUint16(b[ipAt+10:], ^packet.Sum(b[ipAt:tcpAt], 0))
	be.PutUint16(b[tcpAt:], srcP)
	be.PutUint16(b[tcpAt+2:], dstP)
	be.PutUint32(b[tcpAt+4:], h.seq)
	be.PutUint32(b[tcpAt+8:], h.ack)
	be.PutUint32(b[optionsAt+4:], h.tsVal)
	be.PutUint32(b[optionsAt+8:], h.tsEcr)
	return b[payloadAt:]
}

// read takes a packet that left to a side apart; ok is false where it is not one that header.write makes.
func (h *header) read(b []byte, to flowtable.Side) (payload []byte, ok bool) {
	be := binary.BigEndian
	if len(b) < payloadAt || be.Uint16(b[12:]) != 0x0800 || b[ipAt] != 0x45 || b[ipAt+9] != 6 || int(be.Uint16(b[ipAt+2:])) != len(b)-ipAt ||
		packet.Sum(b[ipAt:tcpAt], 0) != 0xffff || b[tcpAt+12]>>4 != (payloadAt-tcpAt)/4 || b[tcpAt+13]&^packet.FlagPSH != packet.FlagACK ||
		be.Uint32(b[optionsAt:]) != optionsHead {
		return nil, false
	}
	src, dst, srcP, dstP := be.Uint32(b[ipAt+12:]), be.Uint32(b[ipAt+16:]), be.Uint16(b[tcpAt:]), be.Uint16(b[tcpAt+2:])
	if to == flowtable.Inside {
		src, dst, srcP, dstP = dst, src, dstP, srcP
	}
	h.flow = flowOf(dst, dstP)
	host, _, hostP, _ := ends(max(h.flow, 0))
	if h.flow < 0 || src != host || srcP != hostP {
		return nil, false
	}
	h.seq, h.ack, h.n = be.Uint32(b[tcpAt+4:]), be.Uint32(b[tcpAt+8:]), len(b)-payloadAt
	h.tsVal, h.tsEcr = be.Uint32(b[optionsAt+4:]), be.Uint32(b[optionsAt+8:])
	return b[payloadAt:], true
}
