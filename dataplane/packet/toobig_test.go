package packet

import (
	"bytes"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

func TestTooBigGoesBackToTheSenderAndQuotesItsPacket(t *testing.T) {
	for name, f := range tcpFrames() {
		f.payload = bytes.Repeat([]byte{7}, 1400)
		src := parsed(t, f.bytes())
		m := fill(t, arena(t), nil)
		if !BuildTooBig(m, src, 1380, 0x1234) {
			t.Fatalf("%s: refused", name)
		}
		raw := bytes.Clone(m.Data())
		var p Packet
		if p.Parse(m) != NonTCP || !p.VerifyIPv4() || p.VLAN != src.VLAN {
			t.Fatalf("%s: %+v", name, p)
		}
		var e ICMPError
		if !p.ParseICMPError(&e) || !e.HasMTU || e.MTU != 1380 || !e.HasSeq || e.Seq != testSeq || e.SrcPort != 40000 {
			t.Errorf("%s: read as %+v", name, e)
		}
		if !bytes.Equal(raw[:6], src.M.Data()[6:12]) || !bytes.Equal(raw[6:12], src.M.Data()[:6]) {
			t.Errorf("%s: sent to %x from %x", name, raw[:6], raw[6:12])
		}
		var to, from [16]byte
		p.DstAddr16(&to)
		src.SrcAddr16(&from)
		if to != from {
			t.Errorf("%s: addressed to %x", name, to)
		}
		limit := maxError4
		if f.v6 {
			limit = maxError6
			if !icmp6Valid(raw[p.L3:]) {
				t.Errorf("%s: checksum is wrong", name)
			}
		} else if !icmpChecksumValid(&p) {
			t.Errorf("%s: checksum is wrong", name)
		}
		if p.IPLen() != limit || !bytes.Equal(p.PayloadBytes()[8:], src.Data()[src.L3:][:limit-int(p.L4-p.L3)-8]) {
			t.Errorf("%s: %d bytes, or another packet is quoted", name, p.IPLen())
		}
	}
}

func icmp6Valid(ip []byte) bool {
	h := header.IPv6(ip)
	want := header.ICMPv6(h.Payload()).Checksum()
	return header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: h.Payload(), Src: h.SourceAddress(), Dst: h.DestinationAddress()}) == want
}

func TestTooBigIsNotSaidToGroups(t *testing.T) {
	for name, edit := range map[string]func(b []byte){
		"broadcast frame":    func(b []byte) { copy(b, bytes.Repeat([]byte{0xff}, 6)) },
		"group destination":  func(b []byte) { b[30] = 224 },
		"unspecified source": func(b []byte) { clear(b[26:30]) },
	} {
		b := frame{payload: make([]byte, 100)}.bytes()
		edit(b)
		p := parsed(t, b)
		if BuildTooBig(fill(t, arena(t), nil), p, 600, 1) {
			t.Errorf("%s: answered", name)
		}
	}
}

func TestIPv4IdentificationChangesWithItsChecksum(t *testing.T) {
	p := parsed(t, frame{payload: []byte("x")}.bytes())
	for _, id := range []uint16{0, 1, 0xffff, 0x1234} {
		p.SetIPv4ID(id)
		if h := p.M.Data()[p.L3:]; h[4] != byte(id>>8) || h[5] != byte(id) || !p.VerifyIPv4() {
			t.Errorf("%#x: header %x", id, h[:20])
		}
	}
	six := parsed(t, frame{v6: true}.bytes())
	before := bytes.Clone(six.M.Data())
	if six.SetIPv4ID(7); !bytes.Equal(before, six.M.Data()) {
		t.Error("an IPv6 packet was changed")
	}
}
