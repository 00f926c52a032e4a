package packet

import (
	"bytes"
	"encoding/binary"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// icmpAbout makes the ICMP error that a router sends about the first n bytes of about's IP packet.
func icmpAbout(about frame, typ, code uint8, mtu uint32, n int) []byte {
	inner := about.bytes()[14+len(about.tags):]
	msg := append([]byte{typ, code, 0, 0, 0, 0, 0, 0}, inner[:min(n, len(inner))]...)
	binary.BigEndian.PutUint32(msg[4:], mtu)
	if about.v6 {
		ps := header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, v6a, v6b, uint16(len(msg)))
		binary.BigEndian.PutUint16(msg[2:], ^checksum.Checksum(msg, ps))
		return frame{v6: true}.wrap(msg, 58)
	}
	binary.BigEndian.PutUint16(msg[2:], ^checksum.Checksum(msg, 0))
	return frame{}.wrap(msg, 1)
}

func icmpChecksumValid(p *Packet) bool {
	msg := p.Data()[p.L4:]
	ps := uint16(0)
	if p.Ver == 6 {
		ps = header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, v6a, v6b, uint16(len(msg)))
	}
	return checksum.Checksum(msg, ps) == 0xffff
}

func TestICMPErrorIsReadAndRewritten(t *testing.T) {
	ext := frame{v6: true, ext: []byte{6, 0, 1, 4, 0, 0, 0, 0}, extNext: 60, payload: []byte("abcdef")}
	for _, c := range []struct {
		name      string
		about     frame
		typ, code uint8
		n         int
		mtu       bool
	}{
		{"v4 fragmentation needed, 8 bytes", frame{payload: []byte("abc")}, 3, 4, 28, true},
		{"v4 fragmentation needed, all", frame{payload: []byte("abc"), tcpOpts: timestamps()}, 3, 4, 999, true},
		{"v4 ip options", frame{ipOpts: []byte{148, 4, 0, 0}}, 3, 4, 999, true},
		{"v4 host unreachable", frame{}, 3, 1, 999, false},
		{"v4 time exceeded", frame{}, 11, 0, 999, false},
		{"v6 too big", frame{v6: true, payload: []byte("abcd")}, 2, 0, 999, true},
		{"v6 too big, extension", ext, 2, 0, 999, true},
		{"v6 unreachable", frame{v6: true}, 1, 4, 999, false},
	} {
		mtu := uint32(0)
		if c.mtu {
			mtu = 1400
		}
		p := parsed(t, icmpAbout(c.about, c.typ, c.code, mtu, c.n))
		var e ICMPError
		if !p.ParseICMPError(&e) {
			t.Errorf("%s: not recognised", c.name)
			continue
		}
		if e.SrcPort != 40000 || e.DstPort != 443 || !e.HasSeq || e.Seq != testSeq || e.HasMTU != c.mtu || e.MTU != mtu {
			t.Errorf("%s: %+v", c.name, e)
		}
		p.RewriteICMPError(&e, 0xdeadbeef, 1380)
		if !icmpChecksumValid(p) {
			t.Errorf("%s: checksum is wrong", c.name)
		}
		var again ICMPError
		if !p.ParseICMPError(&again) || again != e || again.Seq != 0xdeadbeef || c.mtu && again.MTU != 1380 {
			t.Errorf("%s: after rewriting %+v", c.name, again)
		}
		if c.n == 999 {
			inner := header.TCP(p.Data()[e.InnerL4:])
			src, dst := v4a, v4b
			if c.about.v6 {
				src, dst = v6a, v6b
			}
			if !inner.IsChecksumValid(src, dst, checksum.Checksum(c.about.payload, 0), uint16(len(c.about.payload))) {
				t.Errorf("%s: embedded checksum is wrong", c.name)
			}
		}
	}
}

func TestWrongICMPChecksumStaysWrong(t *testing.T) {
	b := icmpAbout(frame{}, 3, 4, 1400, 28)
	b[36] ^= 0x40
	p := parsed(t, b)
	var e ICMPError
	if !p.ParseICMPError(&e) {
		t.Fatal("not recognised")
	}
	p.RewriteICMPError(&e, 1, 1380)
	if icmpChecksumValid(p) {
		t.Error("damage was hidden")
	}
}

func TestMTURewriteKeepsExtensionLength(t *testing.T) {
	p := parsed(t, icmpAbout(frame{}, 3, 4, 0x00110000|1400, 999))
	var e ICMPError
	if !p.ParseICMPError(&e) || e.MTU != 1400 {
		t.Fatalf("%+v", e)
	}
	p.RewriteICMPError(&e, 1, 1<<20)
	if w := binary.BigEndian.Uint32(p.Data()[p.L4+4:]); w != 0x0011ffff || e.MTU != 0xffff {
		t.Errorf("word %#x, MTU %d", w, e.MTU)
	}
}

func TestICMPErrorsNotAboutTCPAreRefused(t *testing.T) {
	udp := icmpAbout(frame{}, 3, 4, 1400, 28)
	udp[14+20+8+9] = 17
	later := icmpAbout(frame{}, 3, 4, 1400, 28)
	later[14+20+8+7] = 9
	for name, b := range map[string][]byte{
		"echo":           icmpAbout(frame{}, 8, 0, 0, 999),
		"v6 echo":        icmpAbout(frame{v6: true}, 128, 0, 0, 999),
		"about udp":      udp,
		"about fragment": later,
		"too short":      icmpAbout(frame{}, 3, 4, 0, 23),
		"v6 too short":   icmpAbout(frame{v6: true}, 2, 0, 0, 43),
		"tcp":            frame{}.bytes(),
	} {
		var e ICMPError
		if parsed(t, b).ParseICMPError(&e) {
			t.Errorf("%s accepted: %+v", name, e)
		}
	}
}

func TestPortsAloneAreEnough(t *testing.T) {
	p := parsed(t, icmpAbout(frame{}, 3, 4, 1400, 24))
	var e ICMPError
	if !p.ParseICMPError(&e) || e.HasSeq || e.SrcPort != 40000 {
		t.Fatalf("%+v", e)
	}
	before := bytes.Clone(p.Data()[p.L4+8:])
	p.RewriteICMPError(&e, 1, 1380)
	if !icmpChecksumValid(p) || !bytes.Equal(before, p.Data()[p.L4+8:]) {
		t.Error("rewrote a sequence number that is not there")
	}
}

func TestErrorsThatRefuseASegmentAreToldFromOthers(t *testing.T) {
	for _, c := range []struct {
		name      string
		v6        bool
		typ, code uint8
		want      bool
	}{
		{"net unreachable", false, 3, 0, true},
		{"host unreachable", false, 3, 1, true},
		{"port unreachable", false, 3, 3, true},
		{"fragmentation needed", false, 3, 4, false},
		{"host prohibited", false, 3, 10, true},
		{"communication prohibited", false, 3, 13, true},
		{"source quench", false, 4, 0, false},
		{"redirect", false, 5, 1, false},
		{"time exceeded", false, 11, 0, false},
		{"parameter problem", false, 12, 0, true},
		{"v6 no route", true, 1, 0, true},
		{"v6 prohibited", true, 1, 1, true},
		{"v6 port unreachable", true, 1, 4, true},
		{"v6 too big", true, 2, 0, false},
		{"v6 time exceeded", true, 3, 0, false},
		{"v6 parameter problem", true, 4, 2, true},
	} {
		p := parsed(t, icmpAbout(frame{v6: c.v6}, c.typ, c.code, 0, 999))
		var e ICMPError
		if !p.ParseICMPError(&e) || e.Refuses() != c.want {
			t.Errorf("%s: refuses: %v", c.name, !c.want)
		}
	}
}
