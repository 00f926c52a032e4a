package foreign

import (
	"encoding/binary"
	"net"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
)

const (
	etherLen, ipLen, tcpLen = 14, 20, 20
	protocolTCP             = 6
	etherTypeIPv4           = 0x0800

	flagFIN, flagSYN, flagRST, flagPSH, flagACK = 0x01, 0x02, 0x04, 0x08, 0x10
)

// segment is a TCP segment over IPv4.
type segment struct {
	src, dst         netip.Addr
	srcPort, dstPort uint16
	seq, ack         uint32
	flags            byte
	window           uint16
	options, data    []byte
}

// packet returns the segment as an Ethernet frame. Options are padded to a multiple of four bytes.
func (s *segment) packet(from, to net.HardwareAddr) []byte {
	padded := (len(s.options) + 3) &^ 3
	p := make([]byte, etherLen+ipLen+tcpLen+padded+len(s.data))
	copy(p, to)
	copy(p[6:], from)
	binary.BigEndian.PutUint16(p[12:], etherTypeIPv4)
	ip, tcp := p[etherLen:], p[etherLen+ipLen:]
	ip[0] = 0x45
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	ip[6] = 0x40 // DF
	ip[8], ip[9] = 64, protocolTCP
	src, dst := s.src.As4(), s.dst.As4()
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	checksum.Put(ip[10:], ^checksum.Checksum(ip[:ipLen], 0))

	binary.BigEndian.PutUint16(tcp, s.srcPort)
	binary.BigEndian.PutUint16(tcp[2:], s.dstPort)
	binary.BigEndian.PutUint32(tcp[4:], s.seq)
	binary.BigEndian.PutUint32(tcp[8:], s.ack)
	tcp[12], tcp[13] = byte(tcpLen+padded)<<2, s.flags
	binary.BigEndian.PutUint16(tcp[14:], s.window)
	copy(tcp[tcpLen:], s.options)
	copy(tcp[tcpLen+padded:], s.data)
	checksum.Put(tcp[16:], ^checksum.Checksum(tcp, pseudoSum(src, dst, len(tcp))))
	return p
}

func pseudoSum(src, dst [4]byte, n int) uint16 {
	var h [12]byte
	copy(h[:], src[:])
	copy(h[4:], dst[:])
	h[9] = protocolTCP
	binary.BigEndian.PutUint16(h[10:], uint16(n))
	return checksum.Checksum(h[:], 0)
}

// parse reads an Ethernet frame, and reports false unless it is an unfragmented TCP segment over IPv4 with right checksums.
// Its slices alias p.
func (s *segment) parse(p []byte) bool {
	if len(p) < etherLen+ipLen+tcpLen || binary.BigEndian.Uint16(p[12:]) != etherTypeIPv4 {
		return false
	}
	ip := p[etherLen:]
	header, total := int(ip[0]&15)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if ip[0]>>4 != 4 || header < ipLen || total > len(ip) || total < header+tcpLen || ip[9] != protocolTCP ||
		binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 || checksum.Checksum(ip[:header], 0) != 0xffff {
		return false
	}
	src, dst := [4]byte(ip[12:16]), [4]byte(ip[16:20])
	tcp := ip[header:total]
	offset := int(tcp[12]>>4) * 4
	if offset < tcpLen || offset > len(tcp) || checksum.Checksum(tcp, pseudoSum(src, dst, len(tcp))) != 0xffff {
		return false
	}
	*s = segment{src: netip.AddrFrom4(src), dst: netip.AddrFrom4(dst),
		srcPort: binary.BigEndian.Uint16(tcp), dstPort: binary.BigEndian.Uint16(tcp[2:]),
		seq: binary.BigEndian.Uint32(tcp[4:]), ack: binary.BigEndian.Uint32(tcp[8:]), flags: tcp[13],
		window: binary.BigEndian.Uint16(tcp[14:]), options: tcp[tcpLen:offset], data: tcp[offset:]}
	return true
}

// scaleOf returns the window scale option's value, and false where there is none.
func scaleOf(options []byte) (uint8, bool) {
	const kindEOL, kindNOP, kindScale = 0, 1, 3
	for len(options) > 0 && options[0] != kindEOL {
		n := 1
		if options[0] != kindNOP {
			if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
				return 0, false
			}
			n = int(options[1])
		}
		if options[0] == kindScale && n == 3 {
			return options[2], true
		}
		options = options[n:]
	}
	return 0, false
}
