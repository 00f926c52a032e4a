package hosts

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Segment is a TCP segment in a frame, read by gVisor's code and none of the gateway's. It aliases the frame.
type Segment struct {
	Src, Dst   netip.Addr
	TCP        header.TCP // header and what is there of the payload
	PayloadLen int        // by the IP header
}

// Parse reads an untagged frame; false when it is no TCP segment with whole headers.
func Parse(frame []byte) (Segment, bool) {
	var s Segment
	var l4, n int
	if len(frame) < 14 {
		return s, false
	}
	ip := frame[14:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case uint16(header.IPv4ProtocolNumber):
		if len(ip) < 20 || ip[9] != uint8(header.TCPProtocolNumber) {
			return s, false
		}
		s.Src, s.Dst = netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
		l4 = int(ip[0]&15) * 4
		n = int(binary.BigEndian.Uint16(ip[2:])) - l4
	case uint16(header.IPv6ProtocolNumber):
		if len(ip) < 40 || ip[6] != uint8(header.TCPProtocolNumber) {
			return s, false
		}
		s.Src, s.Dst = netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40]))
		l4, n = 40, int(binary.BigEndian.Uint16(ip[4:]))
	default:
		return s, false
	}
	if l4 < 20 || n < 20 || len(ip) < l4+20 {
		return s, false
	}
	s.TCP = header.TCP(ip[l4:min(len(ip), l4+n)])
	off := int(s.TCP.DataOffset())
	if off < 20 || off > len(s.TCP) {
		return s, false
	}
	s.PayloadLen = n - off
	return s, true
}

// Payload returns what the frame holds of the payload.
func (s Segment) Payload() []byte { return s.TCP[s.TCP.DataOffset():] }

// SYN reports whether the segment is a SYN or SYN-ACK.
func (s Segment) SYN() bool { return s.TCP.Flags()&header.TCPFlagSyn != 0 }

// ACK reports whether the segment has an acknowledgement.
func (s Segment) ACK() bool { return s.TCP.Flags()&header.TCPFlagAck != 0 }

// FixChecksum makes the TCP checksum right again after a change; the segment is whole.
func (s Segment) FixChecksum() {
	s.TCP.SetChecksum(0)
	src, dst := tcpip.AddrFromSlice(s.Src.AsSlice()), tcpip.AddrFromSlice(s.Dst.AsSlice())
	ps := header.PseudoHeaderChecksum(header.TCPProtocolNumber, src, dst, uint16(len(s.TCP)))
	s.TCP.SetChecksum(^checksum.Checksum(s.TCP, ps))
}

// Option kinds that tests look at.
const (
	KindMSS = 2
	KindENO = 69
)

// Option is a TCP option without its kind and length bytes, aliasing the segment.
type Option struct {
	Kind byte
	Data []byte
}

var optionNames = map[byte]string{2: "mss", 3: "wscale", 4: "sackOK", 5: "sack", 8: "ts", 34: "tfo", KindENO: "ENO"}

// String returns the option in a readable form.
func (o Option) String() string {
	name := optionNames[o.Kind]
	if name == "" {
		name = fmt.Sprintf("option %d", o.Kind)
	}
	switch {
	case len(o.Data) == 0:
		return name
	case o.Kind == 2 && len(o.Data) == 2:
		return fmt.Sprintf("mss %d", binary.BigEndian.Uint16(o.Data))
	case o.Kind == 5 || o.Kind == 8:
		s := name
		for d := o.Data; len(d) >= 4; d = d[4:] {
			s += fmt.Sprintf(" %d", binary.BigEndian.Uint32(d))
		}
		return s
	}
	return fmt.Sprintf("%s %x", name, o.Data)
}

// TCPOptions returns the options of a header up to the first that is malformed.
func TCPOptions(h header.TCP) []Option {
	var all []Option
	for b := h.Options(); len(b) > 0 && b[0] != 0; {
		if b[0] == 1 {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			break
		}
		all = append(all, Option{Kind: b[0], Data: b[2:b[1]]})
		b = b[b[1]:]
	}
	return all
}

// Option returns the first option of a kind.
func (s Segment) Option(kind byte) (Option, bool) {
	for _, o := range TCPOptions(s.TCP) {
		if o.Kind == kind {
			return o, true
		}
	}
	return Option{}, false
}

// RemoveOption overwrites the options of a kind by padding, as a middlebox may, and reports whether there was one.
func (s Segment) RemoveOption(kind byte) bool {
	found := false
	opts := s.TCP.Options()
	for at := 0; at < len(opts) && opts[at] != 0; {
		n := 1
		if opts[at] != 1 {
			if at+1 >= len(opts) || opts[at+1] < 2 || at+int(opts[at+1]) > len(opts) {
				break
			}
			n = int(opts[at+1])
		}
		if opts[at] == kind {
			copy(opts[at:], bytes.Repeat([]byte{1}, n))
			found = true
		}
		at += n
	}
	if found {
		s.FixChecksum()
	}
	return found
}

// split cuts a frame with a TCP payload of at least two bytes in two at a random place.
func split(frame []byte, rnd *rand.Rand) (head, tail []byte, ok bool) {
	s, ok := Parse(frame)
	if !ok || s.SYN() || s.PayloadLen < 2 {
		return nil, nil, false
	}
	at := 1 + rnd.IntN(s.PayloadLen-1)
	headers := len(frame) - len(s.Payload())
	head = shorten(frame[:headers], s.Payload()[:at], 0, header.TCPFlagFin|header.TCPFlagPsh)
	tail = shorten(frame[:headers], s.Payload()[at:], uint32(at), 0)
	return head, tail, true
}

// shorten makes a frame of the headers of another and a part of its payload.
func shorten(headers, payload []byte, skip uint32, without header.TCPFlags) []byte {
	frame := append(append([]byte(nil), headers...), payload...)
	ip := frame[14:]
	if ip[0]>>4 == 4 {
		h := header.IPv4(ip)
		h.SetTotalLength(uint16(len(ip)))
		h.SetChecksum(0)
		h.SetChecksum(^h.CalculateChecksum())
	} else {
		header.IPv6(ip).SetPayloadLength(uint16(len(ip) - header.IPv6MinimumSize))
	}
	s, _ := Parse(frame)
	s.TCP.SetSequenceNumber(s.TCP.SequenceNumber() + skip)
	s.TCP.SetFlags(uint8(s.TCP.Flags() &^ without))
	s.FixChecksum()
	return frame
}
