package worker

import (
	"testing"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// with returns a segment with its options changed.
func with(s packet.Seg, other, enoOpt []byte) packet.Seg {
	s.Other, s.ENO = other, enoOpt
	return s
}

func TestSynAckWithoutUsableENOPassesByteForByte(t *testing.T) {
	two := append(append([]byte(nil), enoOfB...), enoOfB...)
	for name, s := range map[string]packet.Seg{
		"no ENO":              with(peerSynAck(), synOptions, nil),
		"two ENO options":     with(peerSynAck(), synOptions, two),
		"ENO of length 0":     with(peerSynAck(), synOptions, []byte{eno.Kind, 0, 1, 1}),
		"ENO of length 1":     with(peerSynAck(), synOptions, []byte{eno.Kind, 1, 1, 1}),
		"ENO past the header": with(peerSynAck(), synOptions, []byte{eno.Kind, 9, 1, 1}),
		"MPTCP":               with(peerSynAck(), []byte{packet.KindMPTCP, 4, 0, 0}, enoOfB),
	} {
		t.Run(name, func(t *testing.T) {
			g := inState(flowtable.ActiveSyn).at(t)
			raw := g.raw(g.tpl[outside], s, nil)
			g.feed(g.out, raw)
			g.untouched("SYN-ACK", [][]byte{raw}, nil)
			g.state(flowtable.Plain)
			g.plainData()
		})
	}
}

// plainData demands that data passes both ways.
func (g *rig) plainData() {
	g.t.Helper()
	a := g.raw(g.tpl[inside], fromHost(1, 1, ack|psh), []byte("question"))
	b := g.raw(g.tpl[outside], fromPeer(1, 9, ack|psh), []byte("answer"))
	g.feed(g.in, a)
	g.feed(g.out, b)
	g.untouched("data", [][]byte{b}, [][]byte{a})
}

func TestControlPlaneThatPassesLeavesTheConnectionPlain(t *testing.T) {
	pass := func(kind shm.RequestKind) func(*shm.Request, *shm.Reply) {
		return func(q *shm.Request, rep *shm.Reply) {
			if q.Kind == kind {
				*rep = shm.Reply{Kind: shm.Pass, Reason: shm.ReasonPolicy, Ref: q.Ref, Seq: q.Seq}
			}
		}
	}
	for kind, c := range map[shm.RequestKind]struct {
		in   stage
		side flowtable.Side
		seg  packet.Seg
	}{
		shm.ActiveOpen:   {stage{}, inside, hostSYN()},
		shm.ActiveAnswer: {inState(flowtable.ActiveSyn), outside, peerSynAck()},
		shm.PassiveOpen:  {stage{}, outside, peerSYN()},
	} {
		t.Run(kind.String(), func(t *testing.T) {
			g := newShooter(t)
			if c.in.reach != nil {
				c.in.reach(g)
				g.toHost, g.toWire = nil, nil
			}
			g.change = pass(kind)
			raw := g.raw(g.tpl[c.side], c.seg, nil)
			if c.side == inside {
				g.feed(g.in, raw)
				g.untouched("SYN", nil, [][]byte{raw})
			} else {
				g.feed(g.out, raw)
				g.untouched("SYN or SYN-ACK", [][]byte{raw}, nil)
			}
			g.state(flowtable.Plain)
			g.plainData()
		})
	}
}

func TestFirstAckWithoutENOTurnsEncryptionOff(t *testing.T) {
	g := inState(flowtable.PassiveAck).at(t)
	raw := g.raw(g.tpl[outside], fromPeer(1, 1, ack), nil)
	g.feed(g.out, raw)
	g.untouched("ACK", [][]byte{raw}, nil)
	g.state(flowtable.Plain)
	g.plainData()
}

func TestAckOutsideOfTheWindowDecidesNothing(t *testing.T) {
	g := inState(flowtable.PassiveAck).at(t)
	for _, s := range []packet.Seg{fromPeer(0, 1, ack), fromPeer(70000, 1, ack), fromPeer(1, 7, ack), fromPeer(1, 0, ack)} {
		g.wire(s)
	}
	g.expect("strays", nil, nil)
	g.state(flowtable.PassiveAck)
	g.counted(4, shm.DropHandshake)
}

func TestFarEndThatGivesENOUpIsAnsweredWithoutIt(t *testing.T) {
	for _, s := range []flowtable.State{flowtable.PassiveSyn, flowtable.PassiveAck} {
		g := inState(s).at(t)
		raw := g.raw(g.tpl[outside], with(peerSYN(), synOptions, nil), nil)
		g.feed(g.out, raw)
		g.untouched("SYN without ENO", [][]byte{raw}, nil)
		answer := g.raw(g.tpl[inside], hostSynAck(), nil)
		g.feed(g.in, answer)
		g.untouched("SYN-ACK", nil, [][]byte{answer})
		g.state(flowtable.Plain)
	}
}

func TestHostSynAckThatCanHaveNoENOPassesByteForByte(t *testing.T) {
	full := []byte{2, 4, 5, 180, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 253, 24, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22}
	for name, other := range map[string][]byte{
		"full option space": full, "MPTCP": {packet.KindMPTCP, 4, 0, 0}, "TCP-AO": {packet.KindAO, 4, 0, 0}, "malformed": {2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := inState(flowtable.PassiveSyn).at(t)
			raw := g.raw(g.tpl[inside], with(hostSynAck(), other, nil), nil)
			g.feed(g.in, raw)
			g.untouched("SYN-ACK", nil, [][]byte{raw})
			g.state(flowtable.Plain)
		})
	}
}

func TestSynThatCanHaveNoENOPassesByteForByte(t *testing.T) {
	for name, s := range map[string]packet.Seg{
		"host speaks ENO":   with(hostSYN(), synOptions, enoOfA),
		"MPTCP":             with(hostSYN(), []byte{packet.KindMPTCP, 4, 0, 0}, nil),
		"TCP-AO":            with(hostSYN(), []byte{packet.KindAO, 4, 0, 0}, nil),
		"MD5":               with(hostSYN(), append([]byte{packet.KindMD5, 18}, make([]byte, 16)...), nil),
		"full option space": with(hostSYN(), append([]byte{253, 38}, make([]byte, 36)...), nil),
		"malformed options": with(hostSYN(), []byte{2, 1, 0, 0}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			g := newShooter(t)
			raw := g.raw(g.tpl[inside], s, []byte("early"))
			g.feed(g.in, raw)
			g.untouched("SYN", nil, [][]byte{raw})
			g.state(flowtable.Plain)
			g.plainData()
		})
	}
	for name, s := range map[string]packet.Seg{
		"no ENO":          with(peerSYN(), synOptions, nil),
		"two ENO":         with(peerSYN(), nil, append(append([]byte(nil), enoOfA...), enoOfA...)),
		"MPTCP":           with(peerSYN(), []byte{packet.KindMPTCP, 4, 0, 0}, enoOfA),
		"ENO of length 1": with(peerSYN(), nil, []byte{eno.Kind, 1, 1, 1}),
	} {
		t.Run("far end: "+name, func(t *testing.T) {
			g := newShooter(t)
			raw := g.raw(g.tpl[outside], s, nil)
			g.feed(g.out, raw)
			g.untouched("SYN", [][]byte{raw}, nil)
			g.state(flowtable.Plain)
		})
	}
}

func TestFastOpenCookieAndDataAreRemovedFromASynWithENO(t *testing.T) {
	cookie := append([]byte{packet.KindTFO, 10}, make([]byte, 8)...)
	request := []byte{packet.KindTFO, 2}
	g := newShooter(t)
	g.host(with(hostSYN(), append(append([]byte(nil), synOptions...), cookie...), nil), []byte("early data")...)
	raw := g.toWire[0]
	g.expect("SYN", nil, list("S s0 mss1460 eno23"))
	m := g.in.cache.Alloc()
	m.Append(raw)
	var p packet.Packet
	p.Parse(m)
	if p.Opt.HasAny(packet.OptTFO) {
		t.Error("the cookie is still there")
	}
	g.in.cache.Free(m)
	t.Run("a request for a cookie stays", func(t *testing.T) {
		g := newShooter(t)
		g.host(with(hostSYN(), request, nil))
		m := g.in.cache.Alloc()
		m.Append(g.toWire[0])
		var p packet.Packet
		p.Parse(m)
		if !p.Opt.HasAny(packet.OptTFO|packet.OptENO) || p.Opt.TFOLen != 0 {
			t.Errorf("options %+v", p.Opt)
		}
		g.in.cache.Free(m)
	})
	t.Run("where ENO has no room even then, all stays", func(t *testing.T) {
		g := newShooter(t)
		g.change = func(_ *shm.Request, rep *shm.Reply) {
			rep.ENO = append([]byte{eno.Kind, 34}, make([]byte, 32)...)
		}
		raw := g.raw(g.tpl[inside], with(hostSYN(), append(append([]byte(nil), synOptions...), cookie[:10]...), nil), []byte("early data"))
		g.feed(g.in, raw)
		g.untouched("SYN", nil, [][]byte{raw})
		g.state(flowtable.Plain)
	})
}

func TestDataAndCookieInAPeersSynDoNotReachTheHost(t *testing.T) {
	g := newShooter(t)
	g.wire(with(peerSYN(), append([]byte{packet.KindTFO, 6, 1, 2, 3, 4}, synOptions...), enoOfA), []byte("early")...)
	if n := len(g.toHost[0]); n != 14+20+20+8 {
		t.Errorf("%d bytes", n)
	}
	g.expect("SYN", list("S s0 mss1440"), nil)
}

func TestSimultaneousOpenStaysPlain(t *testing.T) {
	noENO := with(peerSYN(), synOptions, nil)
	for _, c := range []struct {
		name       string
		in         flowtable.State
		wire       bool
		seg        packet.Seg
		host, peer []string
	}{
		{"peer SYN while the host's is held", flowtable.ActiveOffer, true, noENO, list("S s0 mss1460"), list("S s0 mss1460")},
		{"peer SYN after the host's", flowtable.ActiveSyn, true, noENO, list("S s0 mss1460"), nil},
		{"peer SYN with ENO after the host's", flowtable.ActiveSyn, true, peerSYN(), list("S s0 mss1460"), nil},
		{"host SYN while the peer's is held", flowtable.PassiveOffer, false, hostSYN(), list("S s0 mss1460 eno23"), list("S s0 mss1460")},
		{"host SYN after the peer's", flowtable.PassiveSyn, false, hostSYN(), nil, list("S s0 mss1460")},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := inState(c.in).at(t)
			if c.wire {
				g.wire(c.seg)
			} else {
				g.host(c.seg)
			}
			g.expect(c.name, c.host, c.peer)
			g.state(flowtable.Plain)
			a := g.raw(g.tpl[inside], hostSynAck(), nil)
			b := g.raw(g.tpl[outside], with(peerSynAck(), synOptions, nil), nil)
			g.feed(g.in, a)
			g.feed(g.out, b)
			g.untouched("SYN-ACKs", [][]byte{b}, [][]byte{a})
			g.plainData()
		})
	}
}

func TestUnfinishedChecksumsAreFilledInWhatPasses(t *testing.T) {
	g := newShooter(t)
	g.ctl.policy = flowtable.Disabled
	whole := g.raw(g.tpl[inside], fromHost(1, 1, ack), []byte("data"))
	damaged := append([]byte(nil), whole...)
	damaged[14+20+16] ^= 0x55
	g.feedFlags(g.in, damaged, trustedNotFilled)
	g.untouched("TCP", nil, [][]byte{whole})
	g.feed(g.in, damaged)
	g.untouched("without the port's word", nil, [][]byte{damaged})
}

func TestMessagesOfTheExchangeDoNotReachTheHost(t *testing.T) {
	g := inState(flowtable.ActiveInit).at(t)
	g.wire(fromPeer(1, 81, ack|psh), initMessage(tcpcrypt.KindInit2)...)
	for _, raw := range g.toHost {
		if s := g.shot(inside, raw); s != "SA s0 a1 mss1440" {
			t.Errorf("the host got %q", s)
		}
	}
}
