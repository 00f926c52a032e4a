package packet

import (
	"encoding/binary"

	"linecrypt/dataplane/mbuf"
)

// tx_offload fields of rte_mbuf: lengths of the headers, as a port with checksum offload wants them.
const (
	l2Bits = 7
	l3Bits = 9
)

// NoteHeaders keeps the header lengths of a parsed TCP segment in its mbuf, from where Resume takes them.
func (p *Packet) NoteHeaders() {
	p.M.TxOffload = uint64(p.L3) | uint64(p.L4-p.L3)<<l2Bits | uint64(p.Payload-p.L4)<<(l2Bits+l3Bits)
}

// Resume makes p describe the TCP segment in m again, whose headers were noted by NoteHeaders and have not changed in
// length since, with a payload of n bytes behind them. It sets the bounds of the buffer and the IP lengths to it. The TCP fields of p are
// not read. It reports false where lengths and buffer do not agree.
func (p *Packet) Resume(m *mbuf.Mbuf, n int) bool {
	o := m.TxOffload
	l3 := int(o & (1<<l2Bits - 1))
	l4 := l3 + int(o>>l2Bits&(1<<l3Bits-1))
	head := l4 + int(o>>(l2Bits+l3Bits)&0xff)
	if l3 < ethLen || l4 < l3+20 || head < l4+tcpMinLen || n < 0 || m.DataOff()+head+n > int(m.BufLen) {
		return false
	}
	m.SetBounds(m.DataOff(), head+n)
	b := m.Data()
	p.M, p.Class, p.Proto = m, TCP, protoTCP
	p.L3, p.L4, p.Payload = uint16(l3), uint16(l4), uint16(head)
	p.Ver = b[l3] >> 4
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b[l4:]), binary.BigEndian.Uint16(b[l4+2:])
	p.Opt.parse(b[l4+tcpMinLen:head], l4+tcpMinLen)
	p.setBounds(m.DataOff(), n)
	return true
}
