package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"linecrypt/dataplane/mbuf"
)

var (
	v4a, v4b = tcpip.AddrFrom4([4]byte{10, 1, 2, 3}), tcpip.AddrFrom4([4]byte{192, 0, 2, 77})
	v6a      = tcpip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: 1})
	v6b      = tcpip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 8: 0xaa, 15: 2})
)

// frame describes a packet that gVisor's header package encodes, independently of the code under test.
type frame struct {
	tags    []byte // whole VLAN headers with EtherTypes of the tags, before the IP EtherType
	v6      bool
	ipOpts  []byte // IPv4 options
	ext     []byte // IPv6 extension headers; each one's next-header byte is already right
	extNext uint8  // next header of the IPv6 header where ext is not empty
	flags   uint8
	tcpOpts []byte
	payload []byte
	pad     int // link-layer padding
}

const testSeq, testAck = 0x01020304, 0xfffefdfc

func (f frame) bytes() []byte {
	l4 := header.TCPMinimumSize + len(f.tcpOpts)
	tcp := make([]byte, l4+len(f.payload))
	header.TCP(tcp).Encode(&header.TCPFields{SrcPort: 40000, DstPort: 443, SeqNum: testSeq, AckNum: testAck,
		DataOffset: uint8(l4), Flags: header.TCPFlags(f.flags), WindowSize: 501, UrgentPointer: 0})
	tcp[12] |= 1 // NS: not ours to change
	copy(tcp[20:], f.tcpOpts)
	copy(tcp[l4:], f.payload)
	src, dst := v4a, v4b
	if f.v6 {
		src, dst = v6a, v6b
	}
	ps := header.PseudoHeaderChecksum(header.TCPProtocolNumber, src, dst, uint16(len(tcp)))
	header.TCP(tcp).SetChecksum(^checksum.Checksum(tcp, ps))
	return f.wrap(tcp, 6)
}

// wrap puts link and IP headers before an upper-layer packet.
func (f frame) wrap(upper []byte, proto uint8) []byte {
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	b = append(b, f.tags...)
	if f.v6 {
		b = append(b, 0x86, 0xdd)
		ip := make([]byte, 40)
		next := proto
		if len(f.ext) > 0 {
			next = f.extNext
		}
		header.IPv6(ip).Encode(&header.IPv6Fields{TrafficClass: 0x2a, FlowLabel: 0xabcde, PayloadLength: uint16(len(f.ext) + len(upper)),
			TransportProtocol: tcpip.TransportProtocolNumber(next), HopLimit: 61, SrcAddr: v6a, DstAddr: v6b})
		b = append(append(append(b, ip...), f.ext...), upper...)
	} else {
		b = append(b, 8, 0)
		ip := make([]byte, 20+len(f.ipOpts))
		header.IPv4(ip).Encode(&header.IPv4Fields{TOS: 0x2a, TotalLength: uint16(len(ip) + len(upper)), ID: 0x1234, TTL: 61,
			Protocol: proto, Flags: header.IPv4FlagDontFragment, SrcAddr: v4a, DstAddr: v4b})
		ip[0] = 0x40 | uint8(len(ip)/4)
		copy(ip[20:], f.ipOpts)
		header.IPv4(ip).SetChecksum(^checksum.Checksum(ip, 0))
		b = append(append(b, ip...), upper...)
	}
	return append(b, bytes.Repeat([]byte{0xee}, f.pad)...)
}

func arena(t testing.TB) *mbuf.Arena {
	t.Helper()
	a, err := mbuf.NewArena(4, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func fill(t testing.TB, a *mbuf.Arena, b []byte) *mbuf.Mbuf {
	t.Helper()
	var ms [1]*mbuf.Mbuf
	if !a.AllocBulk(ms[:]) {
		t.Fatal("arena is empty")
	}
	ms[0].Reset()
	if !ms[0].Append(b) {
		t.Fatalf("%d bytes do not fit", len(b))
	}
	return ms[0]
}

// parsed puts b in a buffer and parses it into a Packet that holds leftovers of another one.
func parsed(t testing.TB, b []byte) *Packet {
	t.Helper()
	p := &Packet{VLAN: 77, Ver: 6, Proto: 99, L4: 99, Payload: 99, PayloadLen: 99, Opt: Options{Present: 0xffff, Malformed: true, NSACK: 4, ENOCount: 3}}
	p.Parse(fill(t, arena(t), b))
	return p
}

func tcpFrames() map[string]frame {
	data := bytes.Repeat([]byte("payload"), 20)
	ts := []byte{1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9}
	vlan := []byte{0x81, 0, 0x60, 42}
	qinq := []byte{0x88, 0xa8, 0x01, 0x02, 0x81, 0, 0x30, 0x03}
	hbh := []byte{60, 0, 1, 4, 0, 0, 0, 0}
	dst := []byte{43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	rt := []byte{6, 2, 2, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8}
	return map[string]frame{
		"v4":                {flags: FlagACK, payload: data},
		"v4 timestamps":     {flags: FlagACK, tcpOpts: ts, payload: data},
		"v4 odd payload":    {flags: FlagACK | FlagPSH, tcpOpts: ts, payload: data[:13]},
		"v4 vlan":           {flags: FlagACK, tags: vlan, tcpOpts: ts, payload: data},
		"v4 qinq":           {flags: FlagACK, tags: qinq, payload: data},
		"v4 ip options":     {flags: FlagACK, ipOpts: []byte{148, 4, 0, 0, 1, 1, 1, 0}, payload: data},
		"v4 padded ack":     {flags: FlagACK, pad: 6},
		"v4 padded payload": {flags: FlagACK, payload: data[:1], pad: 5},
		"v6":                {v6: true, flags: FlagACK, tcpOpts: ts, payload: data},
		"v6 qinq":           {v6: true, tags: qinq, flags: FlagACK, payload: data},
		"v6 extensions":     {v6: true, ext: append(append(append([]byte{}, hbh...), dst...), rt...), extNext: 0, flags: FlagACK, tcpOpts: ts, payload: data},
	}
}

// check holds p's packet against gVisor's reading of it and p itself against a fresh parse.
func check(t testing.TB, p *Packet) {
	t.Helper()
	b := p.M.Data()
	ip := b[p.L3:]
	var src, dst tcpip.Address
	var upper []byte
	if p.Ver == 4 {
		h := header.IPv4(ip)
		if !h.IsValid(len(ip)) || !h.IsChecksumValid() {
			t.Fatalf("IPv4 header is not valid: %x", ip[:20])
		}
		src, dst, upper = h.SourceAddress(), h.DestinationAddress(), ip[h.HeaderLength():h.TotalLength()]
	} else {
		h := header.IPv6(ip)
		if !h.IsValid(len(ip)) {
			t.Fatalf("IPv6 header is not valid: %x", ip[:40])
		}
		src, dst, upper = h.SourceAddress(), h.DestinationAddress(), ip[p.L4-p.L3:40+h.PayloadLength()]
	}
	tcp := header.TCP(upper)
	pay := upper[tcp.DataOffset():]
	if !tcp.IsChecksumValid(src, dst, checksum.Checksum(pay, 0), uint16(len(pay))) {
		t.Fatal("TCP checksum is not valid")
	}
	if !p.VerifyTCP() || !p.VerifyIPv4() {
		t.Fatal("own verification fails on a valid packet")
	}
	var q Packet
	if q.Parse(p.M); normal(q) != normal(*p) {
		t.Fatalf("Packet and its bytes differ:\n%+v\n%+v", normal(*p), normal(q))
	}
}

// normal clears what is not meaningful in p.
func normal(p Packet) Packet {
	o := &p.Opt
	n := Options{Present: o.Present, Malformed: o.Malformed, NSACK: o.NSACK, ENOCount: o.ENOCount}
	copy(n.SACK[:], o.SACK[:o.NSACK])
	if o.Has(OptMSS) {
		n.MSS, n.MSSOff = o.MSS, o.MSSOff
	}
	if o.Has(OptWScale) {
		n.WScale = o.WScale
	}
	if o.Has(OptTimestamps) {
		n.TSVal, n.TSEcr, n.TSOff = o.TSVal, o.TSEcr, o.TSOff
	}
	if o.Has(OptSACK) {
		n.SACKOff = o.SACKOff
	}
	if o.Has(OptENO) {
		n.ENOOff, n.ENOLen = o.ENOOff, o.ENOLen
	}
	if o.Has(OptTFO) {
		n.TFOOff, n.TFOLen = o.TFOOff, o.TFOLen
	}
	p.Opt = n
	return p
}

func TestParseReadsEveryEncapsulation(t *testing.T) {
	for name, f := range tcpFrames() {
		t.Run(name, func(t *testing.T) {
			p := parsed(t, f.bytes())
			if p.Class != TCP {
				t.Fatalf("class %v", p.Class)
			}
			if p.Seq != testSeq || p.Ack != testAck || p.SrcPort != 40000 || p.DstPort != 443 || p.Win != 501 || p.Flags != f.flags {
				t.Errorf("fields %+v", p)
			}
			if !bytes.Equal(p.PayloadBytes(), f.payload) {
				t.Errorf("payload %q", p.PayloadBytes())
			}
			if p.Opt.Malformed || p.Opt.Has(OptTimestamps) != (len(f.tcpOpts) > 0) {
				t.Errorf("options %+v", p.Opt)
			}
			check(t, p)
		})
	}
}

func TestParseFoldsVLANIDs(t *testing.T) {
	fs := tcpFrames()
	for name, want := range map[string]uint32{"v4": 0, "v4 vlan": 42, "v4 qinq": 0x102<<12 | 3, "v6 qinq": 0x102<<12 | 3} {
		if p := parsed(t, fs[name].bytes()); p.VLAN != want {
			t.Errorf("%s: VLAN %#x, want %#x", name, p.VLAN, want)
		}
	}
	three := frame{tags: []byte{0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3}}
	if p := parsed(t, three.bytes()); p.Class != NonIP {
		t.Errorf("three tags: class %v", p.Class)
	}
}

func TestAddressesAreMapped(t *testing.T) {
	var src, dst [16]byte
	p := parsed(t, frame{}.bytes())
	p.SrcAddr16(&src)
	p.DstAddr16(&dst)
	if src != [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: 1, 14: 2, 15: 3} || dst != [16]byte{10: 0xff, 11: 0xff, 12: 192, 14: 2, 15: 77} {
		t.Errorf("%x %x", src, dst)
	}
	var s, d [16]byte
	if p.Ends(&s, &d); s != src || d != dst {
		t.Errorf("both at once: %x %x", s, d)
	}
	p = parsed(t, frame{v6: true}.bytes())
	p.SrcAddr16(&src)
	p.DstAddr16(&dst)
	if src != v6a.As16() || dst != v6b.As16() {
		t.Errorf("%x %x", src, dst)
	}
	if p.Ends(&s, &d); s != src || d != dst {
		t.Errorf("both at once: %x %x", s, d)
	}
}

func TestParseClasses(t *testing.T) {
	tcp := make([]byte, 20)
	tcp[12] = 0x50
	v6 := func(next uint8, ext ...byte) []byte { return frame{v6: true, ext: ext, extNext: next}.wrap(tcp, 6) }
	edit := func(b []byte, f func(b []byte)) []byte { f(b); return b }
	var chain []byte
	for i := 0; i < 9; i++ {
		chain = append(chain, 60, 0, 1, 4, 0, 0, 0, 0)
	}
	chain[64] = 6
	cases := []struct {
		name string
		b    []byte
		want Class
	}{
		{"arp", append(make([]byte, 12), 8, 6, 0, 0), NonIP},
		{"llc", append(make([]byte, 12), 0, 46, 0, 0), NonIP},
		{"v4 udp", frame{}.wrap(make([]byte, 8), 17), NonTCP},
		{"v4 esp", frame{}.wrap(make([]byte, 8), 50), NonTCP},
		{"v6 esp", v6(50, make([]byte, 8)...), NonTCP},
		{"v6 ah", v6(51, make([]byte, 16)...), NonTCP},
		{"v6 no next header", frame{v6: true}.wrap(tcp, 59), NonTCP},
		{"v4 first fragment", edit(frame{}.bytes(), func(b []byte) { b[20] = 0x20 }), Fragment},
		{"v4 later fragment", edit(frame{}.bytes(), func(b []byte) { b[20], b[21] = 0, 5 }), Fragment},
		{"v4 udp fragment", edit(frame{}.wrap(make([]byte, 8), 17), func(b []byte) { b[20] = 0x20 }), NonTCP},
		{"v6 first fragment", v6(44, 6, 0, 0, 1, 0, 0, 0, 1), Fragment},
		{"v6 atomic fragment", v6(44, 6, 0, 0, 0, 0, 0, 0, 1), Fragment},
		{"v6 later fragment behind options", v6(44, 60, 0, 0, 8, 0, 0, 0, 1), Fragment},
		{"v6 udp fragment", v6(44, 17, 0, 0, 8, 0, 0, 0, 1), NonTCP},
		{"v6 source route under way", v6(43, 6, 0, 0, 1, 0, 0, 0, 0), Fragment},
		{"v6 source route at its end", v6(43, 6, 0, 0, 0, 0, 0, 0, 0), TCP},
		{"v6 endless chain", v6(60, chain...), Fragment},
		{"v6 truncated extension", v6(60, 6, 200, 0, 0, 0, 0, 0, 0), Malformed},
		{"v6 jumbogram", edit(v6(0, 6, 0, 0xc2, 4, 0, 1, 0, 0), func(b []byte) { b[18], b[19] = 0, 0 }), NonTCP},
		{"v4 source route under way", frame{ipOpts: []byte{131, 7, 4, 1, 2, 3, 4, 0}}.bytes(), Fragment},
		{"v4 source route at its end", frame{ipOpts: []byte{137, 7, 8, 1, 2, 3, 4, 0}}.bytes(), TCP},
		{"v4 broken options", frame{ipOpts: []byte{148, 9, 0, 0}}.bytes(), Fragment},
		{"v4 short header length", edit(frame{}.bytes(), func(b []byte) { b[14] = 0x44 }), Malformed},
		{"v4 wrong version", edit(frame{}.bytes(), func(b []byte) { b[14] = 0x65 }), Malformed},
		{"v4 total length above buffer", edit(frame{}.bytes(), func(b []byte) { b[17]++ }), Malformed},
		{"v4 total length below header", edit(frame{}.bytes(), func(b []byte) { b[17] = 19 }), Malformed},
		{"tcp cut short", frame{}.wrap(tcp[:19], 6), Malformed},
		{"tcp data offset below 5", edit(frame{}.bytes(), func(b []byte) { b[46] = 0x40 }), Malformed},
		{"tcp data offset past end", edit(frame{}.bytes(), func(b []byte) { b[46] = 0x60 }), Malformed},
		{"empty", nil, Malformed},
	}
	for _, c := range cases {
		if p := parsed(t, c.b); p.Class != c.want {
			t.Errorf("%s: class %v, want %v", c.name, p.Class, c.want)
		}
	}
}

func TestTruncatedPacketIsNeverTCP(t *testing.T) {
	for name, f := range tcpFrames() {
		f.pad = 0
		b := f.bytes()
		for n := range b {
			if p := parsed(t, b[:n]); p.Class == TCP {
				t.Errorf("%s cut to %d of %d bytes is TCP", name, n, len(b))
			}
		}
	}
}

func TestParseReadsOptions(t *testing.T) {
	sack := []byte{5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4}
	cases := []struct {
		name string
		o    []byte
		want Options
	}{
		{"linux syn", []byte{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7},
			Options{Present: OptMSS | OptSACKPermitted | OptTimestamps | OptWScale, MSS: 1460, MSSOff: 54, WScale: 7, TSVal: 1, TSOff: 60}},
		{"sack", append([]byte{1, 1}, sack...), Options{Present: OptSACK, NSACK: 2, SACKOff: 56, SACK: [4][2]uint32{{1, 2}, {3, 4}}}},
		{"eno twice", []byte{69, 3, 0x23, 69, 2, 0, 0, 0}, Options{Present: OptENO, ENOCount: 2, ENOLen: 3, ENOOff: 54}},
		{"tfo cookie", []byte{34, 6, 1, 2, 3, 4, 0, 0}, Options{Present: OptTFO, TFOLen: 4, TFOOff: 54}},
		{"tfo request", []byte{34, 2, 1, 1}, Options{Present: OptTFO, TFOOff: 54}},
		{"experimental tfo", []byte{254, 8, 0xf9, 0x89, 1, 2, 3, 4}, Options{Present: OptTFO, TFOLen: 4, TFOOff: 54}},
		{"binding", []byte{30, 4, 0, 0, 29, 4, 0, 0, 19, 4, 0, 0, 253, 4, 0x45, 0x4e}, Options{Present: OptBinding}},
		{"experimental eno", []byte{253, 4, 0x45, 0x4e, 253, 2, 1, 1}, Options{Present: OptExpENO | OptOther}},
		{"behind end of list", []byte{0, 8, 1, 0}, Options{}},
		{"length 0", []byte{2, 0, 1, 1}, Options{Malformed: true}},
		{"length 1", []byte{1, 1, 77, 1}, Options{Malformed: true}},
		{"past the end", []byte{77, 5, 0, 0}, Options{Malformed: true}},
		{"no length byte", []byte{1, 1, 1, 77}, Options{Malformed: true}},
		{"wrong mss length", []byte{2, 3, 0, 0}, Options{Present: OptMSS, Malformed: true}},
		{"wrong sack length", []byte{5, 4, 0, 0}, Options{Present: OptSACK, Malformed: true}},
		{"mss twice", []byte{2, 4, 1, 1, 2, 4, 2, 2}, Options{Present: OptMSS, Malformed: true}},
	}
	for _, c := range cases {
		p := parsed(t, frame{flags: FlagSYN, tcpOpts: c.o}.bytes())
		got := normal(*p).Opt
		if c.want.Malformed {
			got = Options{Present: got.Present, Malformed: got.Malformed}
		}
		if got != c.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func TestPortVerdictOverridesSoftwareChecksum(t *testing.T) {
	b := frame{payload: []byte("x")}.bytes()
	b[len(b)-1] ^= 1
	p := parsed(t, b)
	if p.VerifyTCP() {
		t.Error("damaged segment verifies")
	}
	p.M.OlFlags = mbuf.RxL4CksumGood | mbuf.RxL4CksumBad
	if !p.VerifyTCP() {
		t.Error("segment the port vouches for does not verify")
	}
	b[len(b)-1] ^= 1
	p = parsed(t, b)
	p.M.OlFlags = mbuf.RxL4CksumBad
	if p.VerifyTCP() {
		t.Error("segment the port found bad verifies")
	}
	b[25] ^= 1
	if p = parsed(t, b); p.VerifyIPv4() {
		t.Error("damaged IPv4 header verifies")
	}
}

func TestFinishForOffloadLeavesPseudoHeaderSum(t *testing.T) {
	for name, f := range tcpFrames() {
		p := parsed(t, f.bytes())
		p.M.OlFlags = mbuf.RxL4CksumGood
		p.Finish(true)
		l2, l3, l4 := p.M.TxOffload&0x7f, p.M.TxOffload>>7&0x1ff, p.M.TxOffload>>16&0xff
		ver := map[uint8]uint64{4: mbuf.TxIPv4, 6: mbuf.TxIPv6}[p.Ver]
		if p.M.OlFlags != mbuf.TxTCPCksum|ver || l2 != uint64(p.L3) || l3 != uint64(p.L4-p.L3) || l4 != uint64(p.Payload-p.L4) {
			t.Fatalf("%s: flags %#x, lengths %d %d %d", name, p.M.OlFlags, l2, l3, l4)
		}
		// What the device does: sum from the TCP header on, the field as it is included.
		b := p.Data()
		binary.BigEndian.PutUint16(b[p.L4+16:], ^checksum.Checksum(b[p.L4:], 0))
		p.M.OlFlags = 0
		check(t, p)
	}
}

func naiveSum(b []byte, initial uint16) uint16 {
	v := uint64(initial)
	for i, c := range b {
		if i&1 == 0 {
			v += uint64(c) << 8
		} else {
			v += uint64(c)
		}
	}
	for v > 0xffff {
		v = v>>16 + v&0xffff
	}
	return uint16(v)
}

func TestSumEqualsNaiveSumAtEveryLength(t *testing.T) {
	b := make([]byte, 300)
	for round := 0; round < 3; round++ {
		for i := range b {
			b[i] = [3]byte{0xff, byte(i * 77), byte(i*i) ^ 0x5a}[round]
		}
		for n := range b {
			for _, init := range []uint16{0, 1, 0x1234, 0xffff} {
				if got, want := Sum(b[:n], init), naiveSum(b[:n], init); got != want {
					t.Fatalf("round %d: Sum of %d bytes from %#x is %#x, want %#x", round, n, init, got, want)
				}
			}
		}
	}
}

func TestIncrementalUpdateEqualsRecomputation(t *testing.T) {
	b := []byte{0x45, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for i := uint32(0); i < 200000; i += 7 {
		field := ^naiveSum(b, 0)
		was := binary.BigEndian.Uint32(b[4:])
		is := i * 0x9e3779b9
		binary.BigEndian.PutUint32(b[4:], is)
		if got, want := Update32(field, was, is), ^naiveSum(b, 0); got != want {
			t.Fatalf("%#x -> %#x: %#x, want %#x", was, is, got, want)
		}
	}
}

func TestOfChecksumsThatThePortIsSilentAboutItIsSaidWhetherTheyAreRight(t *testing.T) {
	const l4, ip = mbuf.RxL4CksumGood | mbuf.RxL4CksumBad, mbuf.RxIPCksumGood | mbuf.RxIPCksumBad
	for name, f := range tcpFrames() {
		var burst []Packet
		whole := parsed(t, f.bytes())
		for at := int(whole.L3) - 1; at < len(whole.Data()); at++ {
			b := f.bytes()
			if at >= int(whole.L3) {
				b[at] ^= 0x40
			}
			if p := parsed(t, b); p.Class == TCP {
				burst = append(burst, *p)
			}
		}
		VerifyFirst(burst, len(burst))
		for i := range burst {
			p := &burst[i]
			flags := p.M.OlFlags
			p.M.OlFlags = 0
			if want := p.VerifyTCP(); flags&l4 != said(want, mbuf.RxL4CksumGood, mbuf.RxL4CksumBad) || i == 0 && !want {
				t.Fatalf("%s, segment %d: flags %#x, its TCP checksum is right: %v", name, i, flags, want)
			}
			if want := p.VerifyIPv4(); flags&ip != said(want, mbuf.RxIPCksumGood, mbuf.RxIPCksumBad) || i == 0 && !want {
				t.Fatalf("%s, segment %d: flags %#x, its IP checksum is right: %v", name, i, flags, want)
			}
			if flags&^(l4|ip) != 0 || p.Judged() {
				t.Fatalf("%s: flags %#x", name, flags)
			}
		}
		damaged := f.bytes()
		damaged[len(whole.Data())-1] ^= 1
		p := parsed(t, damaged)
		for _, word := range []uint64{mbuf.RxL4CksumGood, mbuf.RxL4CksumBad, l4} {
			p.M.OlFlags = word
			if VerifyFirst([]Packet{*p}, 1); p.M.OlFlags&l4 != word || !p.Judged() {
				t.Errorf("%s: the port's word %#x became %#x", name, word, p.M.OlFlags)
			}
		}
	}
}

func TestAssemblySumsWhatItsTwinSums(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 1<<16)
	for round := range 2000 {
		for i := range b[:4096] {
			b[i] = byte(rng.Uint32()) | byte(-(round & 1)) // or all ones: most carries
		}
		at := rng.IntN(64)
		n := rng.IntN(2048)
		if round%4 > 0 {
			n %= 256
		}
		if got, want := fold(sumOf(b[at:at+n])), fold(sumWords(b[at:at+n])); got != want {
			t.Fatalf("%d bytes from %d: %#x, the twin says %#x", n, at, got, want)
		}
	}
	for i := range b {
		b[i] = 0xff
	}
	if got, want := fold(sumOf(b)), fold(sumWords(b)); got != want {
		t.Errorf("the longest packet: %#x, the twin says %#x", got, want)
	}
}

func BenchmarkSum(b *testing.B) {
	buf := make([]byte, 1460)
	for i := range buf {
		buf[i] = byte(i)
	}
	for _, n := range []int{20, 64, 192, 256, 1460} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			var s uint16
			for i := 0; i < b.N; i++ {
				s = Sum(buf[:n], s)
			}
			sink = s
		})
	}
}

var sink uint16

func BenchmarkParse(b *testing.B) {
	fs := tcpFrames()
	fs["syn"] = frame{flags: FlagSYN, tcpOpts: linuxSYN()}
	for _, name := range []string{"v4", "v4 timestamps", "v6", "syn"} {
		b.Run(name, func(b *testing.B) {
			m := fill(b, arena(b), fs[name].bytes())
			b.SetBytes(int64(m.DataLen))
			b.ReportAllocs()
			var p Packet
			for i := 0; i < b.N; i++ {
				p.Parse(m)
			}
			sink = p.Payload
		})
	}
}
