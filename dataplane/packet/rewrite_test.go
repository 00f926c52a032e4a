package packet

import (
	"bytes"
	"encoding/binary"
	"testing"

	"linecrypt/dataplane/mbuf"
)

func linuxSYN() []byte {
	return []byte{2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7}
}

func sackOption(n int) []byte {
	o := []byte{1, 1, 5, uint8(2 + 8*n)}
	for i := 0; i < n; i++ {
		o = binary.BigEndian.AppendUint32(o, uint32(1000*i+100))
		o = binary.BigEndian.AppendUint32(o, uint32(1000*i+200))
	}
	return o
}

func timestamps() []byte { return []byte{1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9} }

func TestReframeMovesHeadersAndKeepsThem(t *testing.T) {
	for name, f := range tcpFrames() {
		for _, move := range []struct{ front, n int }{{4, 200}, {-1, 0}, {0, 1000}, {60, 60}, {-1, 300}, {0, 0}} {
			p := parsed(t, f.bytes())
			if len(f.payload) == 0 && move.front < 0 {
				if p.Reframe(move.front, move.n) {
					t.Errorf("%s: dropped payload that is not there", name)
				}
				continue
			}
			head := bytes.Clone(p.M.Data()[:p.Payload])
			if !p.Reframe(move.front, move.n) {
				t.Fatalf("%s: Reframe%v refused", name, move)
			}
			p.Finish(false)
			check(t, p)
			if int(p.PayloadLen) != move.n {
				t.Errorf("%s: %d payload bytes, want %d", name, p.PayloadLen, move.n)
			}
			kept := p.PayloadBytes()[min(max(move.front, 0), move.n):]
			old := f.payload[max(-move.front, 0):]
			if k := min(len(kept), len(old)); !bytes.Equal(kept[:k], old[:k]) {
				t.Errorf("%s: payload bytes changed by %v", name, move)
			}
			// All but the lengths and checksums must be as before.
			got := bytes.Clone(p.M.Data()[:p.Payload])
			for _, b := range [][]byte{head, got} {
				clear(b[p.L4+16 : p.L4+18])
				if p.Ver == 4 {
					clear(b[p.L3+2 : p.L3+4])
					clear(b[p.L3+10 : p.L3+12])
				} else {
					clear(b[p.L3+4 : p.L3+6])
				}
			}
			if !bytes.Equal(head, got) {
				t.Errorf("%s: headers changed by %v:\n%x\n%x", name, move, head, got)
			}
		}
	}
}

func TestReframeRefusesWhatDoesNotFit(t *testing.T) {
	p := parsed(t, frame{payload: []byte("abc")}.bytes())
	before := bytes.Clone(p.M.Data())
	for _, c := range []struct{ front, n int }{{mbuf.Headroom + 1, 3}, {-4, 0}, {0, 2048}, {0, -1}} {
		if p.Reframe(c.front, c.n) {
			t.Errorf("Reframe%v accepted", c)
		}
	}
	if !bytes.Equal(before, p.M.Data()) {
		t.Error("a refused Reframe changed the packet")
	}
}

func TestSetTCPKeepsReservedBits(t *testing.T) {
	for name, f := range tcpFrames() {
		p := parsed(t, f.bytes())
		p.SetTCP(1, 2, 3, FlagACK|FlagURG|FlagCWR, 4)
		p.Finish(false)
		check(t, p)
		if p.Seq != 1 || p.Ack != 2 || p.Win != 3 || p.Urg != 4 || p.M.Data()[p.L4+12]&15 != 1 {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestSetSACKReplacesBlocks(t *testing.T) {
	blocks := [][2]uint32{{1, 2}, {3, 4}, {5, 6}, {7, 8}, {9, 10}}
	for _, c := range []struct {
		name      string
		opts      []byte
		n, grow   int
		want, hdr int
	}{
		{"same number in place", append(timestamps(), sackOption(2)...), 2, 0, 2, 52},
		{"fewer", append(timestamps(), sackOption(3)...), 1, 0, 1, 44},
		{"none", append(timestamps(), sackOption(3)...), 0, 0, 0, 32},
		{"none was alone", sackOption(1), 0, 0, 0, 20},
		{"more", append(timestamps(), sackOption(1)...), 3, 60, 3, 60},
		{"more than beside timestamps", append(timestamps(), sackOption(1)...), 4, 60, 3, 60},
		{"five", nil, 5, 60, 4, 56},
		{"from none", timestamps(), 1, 60, 1, 44},
		{"no room to grow", append(timestamps(), sackOption(1)...), 3, 0, 1, 44},
		{"room for one more", append(timestamps(), sackOption(1)...), 3, 8, 2, 52},
		{"no room at all", timestamps(), 3, 4, 0, 32},
		{"sack first", append(sackOption(2), timestamps()...), 1, 0, 1, 44},
	} {
		for _, v6 := range []bool{false, true} {
			f := frame{v6: v6, flags: FlagACK, tcpOpts: c.opts, payload: []byte("some payload")}
			p := parsed(t, f.bytes())
			if got := p.SetSACK(blocks[:c.n], c.grow); got != c.want {
				t.Errorf("%s: wrote %d blocks, want %d", c.name, got, c.want)
			}
			p.Finish(false)
			check(t, p)
			if int(p.Payload-p.L4) != c.hdr || int(p.Opt.NSACK) != c.want {
				t.Errorf("%s: header of %d bytes with %d blocks, want %d", c.name, p.Payload-p.L4, p.Opt.NSACK, c.hdr)
			}
			for i := 0; i < c.want; i++ {
				if p.Opt.SACK[i] != blocks[i] {
					t.Errorf("%s: block %d is %v", c.name, i, p.Opt.SACK[i])
				}
			}
			hadTS := bytes.Contains(c.opts, []byte{8, 10, 0, 0, 0, 7, 0, 0, 0, 9})
			if p.Opt.Has(OptTimestamps) != hadTS || hadTS && (p.Opt.TSVal != 7 || p.Opt.TSEcr != 9) {
				t.Errorf("%s: timestamps lost", c.name)
			}
			if string(p.PayloadBytes()) != "some payload" {
				t.Errorf("%s: payload is %q", c.name, p.PayloadBytes())
			}
		}
	}
}

func TestMalformedOptionsAreNeverEdited(t *testing.T) {
	p := parsed(t, frame{flags: FlagSYN, tcpOpts: []byte{2, 4, 5, 0xb4, 4, 1, 0, 0}}.bytes())
	before := bytes.Clone(p.M.Data())
	if p.SetSACK([][2]uint32{{1, 2}}, 40) != -1 || p.InsertENO([]byte{69, 2}) || p.RemoveENO() || p.RemoveTFO() || p.ClampMSS(1000) || p.SetTimestamps(1, 2) {
		t.Error("an edit was accepted")
	}
	if !bytes.Equal(before, p.M.Data()) {
		t.Error("the packet changed")
	}
}

func TestInsertENOPacksWithoutDroppingHostOptions(t *testing.T) {
	eno := func(n int) []byte {
		o := bytes.Repeat([]byte{0x21}, n)
		o[0], o[1] = 69, uint8(n)
		return o
	}
	for _, c := range []struct {
		name string
		opts []byte
		n    int
		ok   bool
		hdr  int
	}{
		{"linux syn", linuxSYN(), 4, true, 44},
		{"linux syn, odd length", linuxSYN(), 3, true, 44},
		{"linux syn, resuming, fits by packing", linuxSYN(), 21, true, 60},
		{"linux syn, one too many", linuxSYN(), 22, false, 40},
		{"no options", nil, 40, true, 60},
		{"replaces the old one", []byte{69, 3, 0x22, 0, 0, 0, 0, 0}[:4], 4, true, 24},
	} {
		p := parsed(t, frame{flags: FlagSYN, tcpOpts: c.opts, payload: []byte("x")}.bytes())
		was := normal(*p).Opt
		if ok := p.InsertENO(eno(c.n)); ok != c.ok {
			t.Errorf("%s: %v", c.name, ok)
		}
		p.Finish(false)
		check(t, p)
		is := normal(*p).Opt
		if p.Payload-p.L4 != uint16(c.hdr) {
			t.Errorf("%s: header of %d bytes, want %d", c.name, p.Payload-p.L4, c.hdr)
		}
		if c.ok && (is.ENOCount != 1 || !bytes.Equal(p.ENO(), eno(c.n))) {
			t.Errorf("%s: ENO is %x", c.name, p.ENO())
		}
		if is.Present&^OptENO != was.Present&^OptENO || is.MSS != was.MSS || is.TSVal != was.TSVal || is.WScale != was.WScale {
			t.Errorf("%s: host options changed: %+v", c.name, is)
		}
		if string(p.PayloadBytes()) != "x" {
			t.Errorf("%s: payload changed", c.name)
		}
	}
}

func TestOptionRoomIsWhatInsertENOAccepts(t *testing.T) {
	p := parsed(t, frame{flags: FlagSYN, tcpOpts: linuxSYN()}.bytes())
	if n := p.OptionRoom(); n != 21 {
		t.Errorf("%d bytes, want 21", n)
	}
}

func TestInsertENORefusesWhatIsNotAnENOOption(t *testing.T) {
	p := parsed(t, frame{flags: FlagSYN}.bytes())
	for _, o := range [][]byte{nil, {69}, {69, 3}, {68, 2}, append([]byte{69, 41}, make([]byte, 39)...)} {
		if p.InsertENO(o) {
			t.Errorf("%x accepted", o)
		}
	}
}

func TestInsertThenRemoveENORestoresOptions(t *testing.T) {
	p := parsed(t, frame{flags: FlagSYN, tcpOpts: linuxSYN()}.bytes())
	before := bytes.Clone(p.Data())
	if !p.InsertENO([]byte{69, 4, 1, 0x23}) || !p.RemoveENO() {
		t.Fatal("refused")
	}
	p.Finish(false)
	if !bytes.Equal(before, p.Data()) {
		t.Errorf("\n%x\n%x", before, p.Data())
	}
}

func TestInsertENONeedsHeadroom(t *testing.T) {
	p := parsed(t, frame{flags: FlagSYN, tcpOpts: linuxSYN()}.bytes())
	if !p.ShiftHeaders(mbuf.Headroom - 2) {
		t.Fatal("no room to use up")
	}
	if p.InsertENO([]byte{69, 4, 1, 0x23}) {
		t.Error("accepted without headroom")
	}
}

func TestRemoveTFOTakesTheWholeOption(t *testing.T) {
	for _, tfo := range [][]byte{{34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1}, {254, 8, 0xf9, 0x89, 1, 2, 3, 4}, {1, 1, 34, 2}} {
		p := parsed(t, frame{flags: FlagSYN, tcpOpts: append(linuxSYN(), tfo...), payload: []byte("early data")}.bytes())
		if !p.RemoveTFO() || !p.SetPayloadLen(0) {
			t.Fatal("refused")
		}
		p.Finish(false)
		check(t, p)
		if !bytes.Equal(p.Data()[p.L4+20:], linuxSYN()) {
			t.Errorf("options are %x", p.Data()[p.L4+20:])
		}
	}
}

func TestClampMSSOnlyLowers(t *testing.T) {
	for _, c := range []struct{ max, want uint16 }{{1440, 1440}, {1500, 1460}} {
		p := parsed(t, frame{flags: FlagSYN, tcpOpts: linuxSYN()}.bytes())
		if !p.ClampMSS(c.max) || p.Opt.MSS != c.want {
			t.Errorf("%d clamped: %d", c.max, p.Opt.MSS)
		}
		p.Finish(false)
		check(t, p)
	}
	if parsed(t, frame{flags: FlagSYN}.bytes()).ClampMSS(1000) {
		t.Error("clamped an MSS that is not there")
	}
}

func TestSetTimestampsInPlace(t *testing.T) {
	p := parsed(t, frame{tcpOpts: timestamps()}.bytes())
	if !p.SetTimestamps(11, 12) {
		t.Fatal("refused")
	}
	p.Finish(false)
	check(t, p)
	if p.Opt.TSVal != 11 || p.Opt.TSEcr != 12 {
		t.Errorf("%+v", p.Opt)
	}
}

func TestRewriteAllocatesNothing(t *testing.T) {
	m := fill(t, arena(t), frame{flags: FlagACK, tcpOpts: timestamps(), payload: make([]byte, 100)}.bytes())
	var p, q Packet
	var tpl Template
	out := fill(t, arena(t), nil)
	seg := &Seg{Flags: FlagACK, HasTS: true, NSACK: 2}
	blocks := make([][2]uint32, 2)
	if n := testing.AllocsPerRun(100, func() {
		p.Parse(m)
		p.ShiftHeaders(4)
		p.SetSACK(blocks, 60)
		p.SetSACK(nil, 0)
		p.SetTCP(1, 2, 3, FlagACK, 0)
		p.ShiftHeaders(-4)
		p.Finish(false)
		tpl.FromPacket(&p)
		out.Reset()
		q.Build(out, &tpl, seg, 10)
		q.Finish(false)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRewriteForSealing(b *testing.B) {
	m := fill(b, arena(b), frame{flags: FlagACK, tcpOpts: timestamps(), payload: make([]byte, 1380)}.bytes())
	b.SetBytes(int64(m.DataLen))
	b.ReportAllocs()
	var p Packet
	p.Parse(m)
	for i := 0; i < b.N; i++ {
		p.Reframe(4, 1400)
		p.SetTCP(uint32(i), 2, 3, FlagACK, 0)
		p.Finish(true)
		p.Reframe(-4, 1380)
	}
}

func BenchmarkBuildPureACK(b *testing.B) {
	var p, q Packet
	var tpl Template
	p.Parse(fill(b, arena(b), frame{flags: FlagACK}.bytes()))
	tpl.FromPacket(&p)
	m := fill(b, arena(b), nil)
	seg := &Seg{Flags: FlagACK, HasTS: true}
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		m.Reset()
		q.Build(m, &tpl, seg, 0)
		q.Finish(false)
	}
}
