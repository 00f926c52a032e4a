package packet

import (
	"bytes"
	"testing"
	"unsafe"

	"linecrypt/dataplane/mbuf"
)

func TestTemplateIsSmallAndHoldsNoPointer(t *testing.T) {
	if n := unsafe.Sizeof(Template{}); n > 80 {
		t.Errorf("%d bytes", n)
	}
}

func TestBuiltSegmentEqualsItsTemplate(t *testing.T) {
	for name, f := range tcpFrames() {
		src := parsed(t, f.bytes())
		var tpl Template
		tpl.FromPacket(src)
		var p Packet
		seg := Seg{Seq: 5, Ack: 6, Win: 7, Flags: FlagACK | FlagPSH, HasTS: true, TSVal: 8, TSEcr: 9, NSACK: 1,
			SACK: [4][2]uint32{{10, 20}}, ENO: []byte{69, 3, 0x23}}
		m := fill(t, arena(t), nil)
		if !p.Build(m, &tpl, &seg, 11) {
			t.Fatalf("%s: refused", name)
		}
		copy(p.PayloadBytes(), "hello world")
		p.Finish(false)
		check(t, &p)
		if p.VLAN != src.VLAN || p.SrcPort != src.SrcPort || p.DstPort != src.DstPort || p.Seq != 5 || p.Opt.TSVal != 8 || p.Opt.NSACK != 1 || p.Opt.ENOLen != 3 {
			t.Errorf("%s: %+v", name, p)
		}
		if !bytes.Equal(m.Data()[:p.L3], src.M.Data()[:src.L3]) {
			t.Errorf("%s: link header changed", name)
		}
		var again Template
		if again.FromPacket(&p); again != tpl {
			t.Errorf("%s: template %+v, want %+v", name, again, tpl)
		}
		if tpl.TTL != 61 || tpl.TOS != 0x28 || f.v6 && tpl.FlowLabel != 0xabcde {
			t.Errorf("%s: captured %+v", name, tpl)
		}
	}
}

func TestPrependLeavesPayloadWhereItLies(t *testing.T) {
	var tpl Template
	tpl.FromPacket(parsed(t, tcpFrames()["v6 qinq"].bytes()))
	m := fill(t, arena(t), []byte("custody"))
	at := &m.Data()[0]
	var p Packet
	if !p.Prepend(m, &tpl, &Seg{Flags: FlagACK, HasTS: true}) {
		t.Fatal("refused")
	}
	p.Finish(false)
	check(t, &p)
	if &p.PayloadBytes()[0] != at || string(p.PayloadBytes()) != "custody" {
		t.Error("payload moved")
	}
	m.SetBounds(8, 7)
	if p.Prepend(m, &tpl, &Seg{}) {
		t.Error("accepted without headroom")
	}
}

func TestBuildGivesUpPaddingThenBlocksThenRefuses(t *testing.T) {
	var tpl Template
	tpl.FromPacket(parsed(t, frame{}.bytes()))
	opt := func(n int) []byte {
		o := make([]byte, n)
		o[0], o[1] = 69, uint8(n)
		return o
	}
	for _, c := range []struct {
		name   string
		seg    Seg
		ok     bool
		blocks uint8
		hdr    int
	}{
		{"linux ack with three blocks", Seg{HasTS: true, NSACK: 3}, true, 3, 60},
		{"four blocks beside timestamps", Seg{HasTS: true, NSACK: 4}, true, 3, 60},
		{"eno beside timestamps packed", Seg{HasTS: true, ENO: opt(30)}, true, 0, 60},
		{"eno takes the blocks' place", Seg{HasTS: true, NSACK: 2, ENO: opt(20)}, true, 1, 60},
		{"eno too long", Seg{HasTS: true, ENO: opt(31)}, false, 0, 0},
		{"other options first", Seg{Other: linuxSYN(), ENO: opt(4)}, true, 0, 44},
		{"too many blocks", Seg{NSACK: 5}, false, 0, 0},
	} {
		var p Packet
		ok := p.Build(fill(t, arena(t), nil), &tpl, &c.seg, 0)
		if ok != c.ok {
			t.Errorf("%s: %v", c.name, ok)
		}
		if !ok {
			continue
		}
		p.Finish(false)
		check(t, &p)
		if p.Opt.NSACK != c.blocks || int(p.Payload-p.L4) != c.hdr {
			t.Errorf("%s: %d blocks, header of %d bytes", c.name, p.Opt.NSACK, p.Payload-p.L4)
		}
	}
}

func TestReversedTemplateAnswers(t *testing.T) {
	var tpl, back Template
	tpl.FromPacket(parsed(t, tcpFrames()["v4 vlan"].bytes()))
	back = tpl
	back.Reverse()
	if back.Src != tpl.Dst || back.DstPort != tpl.SrcPort || !bytes.Equal(back.L2[:6], tpl.L2[6:12]) || !bytes.Equal(back.L2[12:], tpl.L2[12:]) {
		t.Errorf("%+v", back)
	}
	back.Reverse()
	if back != tpl {
		t.Error("reversing twice is not the identity")
	}
}

func TestIPv4IDIsUsedOnlyWithoutDF(t *testing.T) {
	var p Packet
	var tpl Template
	tpl.FromPacket(parsed(t, frame{}.bytes()))
	for df, want := range map[uint8]uint8{1: 0, 0: 0x77} {
		tpl.DF = df
		if !p.Build(fill(t, arena(t), nil), &tpl, &Seg{ID: 0x77}, 0) {
			t.Fatal("refused")
		}
		if p.M.Data()[19] != want || p.DontFragment() != (df == 1) {
			t.Errorf("DF %d: ID %#x", df, p.M.Data()[19])
		}
	}
}

func TestBuildRefusesDamagedTemplatesAndSmallBuffers(t *testing.T) {
	var p Packet
	var good Template
	good.FromPacket(parsed(t, frame{}.bytes()))
	m := fill(t, arena(t), nil)
	for _, f := range []func(*Template){
		func(t *Template) { t.L2Len = 0 }, func(t *Template) { t.L2Len = 255 }, func(t *Template) { t.Ver = 5 },
	} {
		tpl := good
		f(&tpl)
		if p.Build(m, &tpl, &Seg{}, 0) || p.Prepend(m, &tpl, &Seg{}) {
			t.Errorf("accepted %+v", tpl)
		}
	}
	if p.Build(m, &good, &Seg{}, mbuf.DefaultDataRoom) || p.Build(m, &good, &Seg{}, -1) {
		t.Error("accepted a payload without room")
	}
}
