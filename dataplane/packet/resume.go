package packet

import (
	"encoding/binary"

	"linecrypt/dataplane/mbuf"
)

// What NoteHeaders keeps in the place of rte_mbuf's tx_offload: where the headers begin, 16 bits each. The fields that DPDK
// has there, which Finish fills in for a port with checksum offload, are too narrow for long IPv6 extension headers.
const (
	noteL4      = 16
	notePayload = 32
)

// NoteHeaders keeps where the headers of a parsed TCP segment lie in its mbuf, from where Resume takes it.
func (p *Packet) NoteHeaders() {
	p.M.TxOffload = uint64(p.L3) | uint64(p.L4)<<noteL4 | uint64(p.Payload)<<notePayload
}

// Resume makes p describe the TCP segment in m again, whose headers were noted by NoteHeaders and have not changed in
// length since, with a payload of n bytes behind them. It sets the bounds of the buffer and the IP lengths to it. The TCP fields of p are
// not read. It reports false where lengths and buffer do not agree.
func (p *Packet) Resume(m *mbuf.Mbuf, n int) bool {
	o := m.TxOffload
	l3, l4, head := int(uint16(o)), int(uint16(o>>noteL4)), int(uint16(o>>notePayload))
	if l3 < ethLen || l4 < l3+20 || head < l4+tcpMinLen || head > l4+tcpMinLen+MaxOptions || n < 0 || m.DataOff()+head+n > int(m.BufLen) {
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
