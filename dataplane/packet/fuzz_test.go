package packet

import (
	"bytes"
	"testing"

	"linecrypt/dataplane/mbuf"
)

func seeds(f *testing.F) {
	for _, fr := range tcpFrames() {
		f.Add(fr.bytes())
	}
	f.Add(frame{flags: FlagSYN, tcpOpts: linuxSYN()}.bytes())
	f.Add(frame{flags: FlagACK, tcpOpts: append(timestamps(), sackOption(3)...)}.bytes())
	f.Add(frame{flags: FlagSYN, tcpOpts: []byte{34, 6, 1, 2, 3, 4, 69, 3, 0x23, 0, 0, 0}}.bytes())
	f.Add(icmpAbout(frame{payload: []byte("abc")}, 3, 4, 1400, 999))
	f.Add(icmpAbout(frame{v6: true, ext: []byte{6, 0, 1, 4, 0, 0, 0, 0}, extNext: 60}, 2, 0, 1400, 999))
	f.Add(frame{v6: true, ext: []byte{6, 0, 0, 1, 0, 0, 0, 1}, extNext: 44}.bytes())
}

func FuzzParse(f *testing.F) {
	seeds(f)
	pool := arena(f)
	var ms [2]*mbuf.Mbuf
	if !pool.AllocBulk(ms[:]) {
		f.Fatal("arena is empty")
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := ms[0]
		m.Reset()
		if !m.Append(b) {
			return
		}
		var p Packet
		var e ICMPError
		if p.Parse(m); int(p.Payload)+int(p.PayloadLen) > len(b) || p.L3 > p.L4 && p.L4 != 0 {
			t.Fatalf("offsets out of bounds: %+v", p)
		}
		long := Packet{M: m}
		if long.Class = long.parseEther(m.Data()); p != long {
			t.Fatalf("read as\n%+v\nand without the short way as\n%+v", p, long)
		}
		p.ParseICMPError(&e)
		if p.Class != NonIP && p.Class != Malformed {
			var a [16]byte
			p.SrcAddr16(&a)
			p.DstAddr16(&a)
			if p.Class == TCP {
				var src, dst, s, d [16]byte
				p.SrcAddr16(&src)
				p.DstAddr16(&dst)
				if p.Ends(&s, &d); s != src || d != dst {
					t.Fatalf("ends %x and %x, not %x and %x", s, d, src, dst)
				}
			}
		}
		if ms[1].Reset(); p.Class == NonTCP && BuildTooBig(ms[1], &p, 1280, 1) {
			var q Packet
			if q.Parse(ms[1]) != NonTCP {
				t.Fatalf("a packet too big is %v", q.Class)
			}
		}
		if p.Class != TCP {
			return
		}
		if p.Payload < p.L4+20 || p.L4 < p.L3+20 || p.L3 < 14 {
			t.Fatalf("offsets out of order: %+v", p)
		}
		rewriteAll(t, &p)
		var tpl Template
		tpl.FromPacket(&p)
		ms[1].Reset()
		var q Packet
		if !q.Build(ms[1], &tpl, &Seg{HasTS: true, NSACK: 4}, 100) {
			t.Fatal("a captured template does not build")
		}
		q.Finish(false)
		check(t, &q)
	})
}

// rewriteAll puts a packet, which may be any, through every rewrite and holds it valid after each.
func rewriteAll(t *testing.T, p *Packet) {
	if !p.VerifyIPv4() {
		h := p.M.Data()[p.L3:]
		h[10], h[11] = 0, 0
		ck := ^Sum(h[:p.L4-p.L3], 0)
		h[10], h[11] = uint8(ck>>8), uint8(ck)
	}
	steps := []func(){
		func() {},
		func() { p.Reframe(4, int(p.PayloadLen)+20) },
		func() { p.InsertENO([]byte{69, 4, 1, 0x23}) },
		func() { p.SetSACK([][2]uint32{{1, 2}, {3, 4}}, 12) },
		func() { p.ClampMSS(1000); p.SetTimestamps(1, 2); p.SetTCP(1, 2, 3, 4, 5) },
		func() { p.RemoveTFO() },
		func() { p.RemoveENO() },
		func() { p.SetSACK(nil, 0) },
		func() { p.ShiftHeaders(-min(7, int(p.PayloadLen))) },
		func() { p.SetPayloadLen(0) },
	}
	for _, f := range steps {
		f()
		p.Finish(false)
		check(t, p)
	}
}

func FuzzSum(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0xff}, 1460), uint16(0xffff))
	f.Add(bytes.Repeat([]byte{1, 0, 0xfe}, 101), uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, initial uint16) {
		if got, want := Sum(b, initial), naiveSum(b, initial); got != want {
			t.Fatalf("Sum of %d bytes from %#x is %#x, want %#x", len(b), initial, got, want)
		}
		if got, want := fold(sumOf(b)), fold(sumWords(b)); got != want {
			t.Fatalf("%d bytes: %#x, the twin says %#x", len(b), got, want)
		}
	})
}

func FuzzICMP(f *testing.F) {
	seeds(f)
	pool := arena(f)
	var ms [1]*mbuf.Mbuf
	if !pool.AllocBulk(ms[:]) {
		f.Fatal("arena is empty")
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ms[0].Reset()
		if !ms[0].Append(b) {
			return
		}
		var p Packet
		var e, again ICMPError
		if p.Parse(ms[0]); !p.ParseICMPError(&e) {
			return
		}
		p.RewriteICMPError(&e, 0x12345678, 1380)
		if !p.ParseICMPError(&again) || again != e {
			t.Fatalf("rewriting changed more than it said:\n%+v\n%+v", e, again)
		}
	})
}
