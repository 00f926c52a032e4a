package worker

import (
	"testing"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/handshake"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// experimentalENO is what implementations of ENO sent before it had a kind of its own (RFC 8547 section 11): in no segment may both be.
var experimentalENO = []byte{packet.KindExp1, 5, 0x45, 0x4e, byte(tcpcrypt.ECDHECurve25519), 1, 1, 1}

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
		"experimental ENO":    with(peerSynAck(), experimentalENO, enoOfB),
	} {
		t.Run(name, func(t *testing.T) {
			g := inState(flowtable.ActiveSyn).at(t)
			raw := g.raw(g.tpl[outside], s, nil)
			g.feed(g.out, raw)
			g.untouched("SYN-ACK", [][]byte{raw}, nil)
			g.inClear()
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
		shm.ActiveAnswer: {inState(flowtable.ActiveSyn), outside, peerSynAck()},
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
			g.inClear()
			g.plainData()
		})
	}
}

func TestFirstAckWithoutENOTurnsEncryptionOff(t *testing.T) {
	g := inState(flowtable.PassiveAck).at(t)
	raw := g.raw(g.tpl[outside], fromPeer(1, 1, ack), nil)
	g.feed(g.out, raw)
	g.untouched("ACK", [][]byte{raw}, nil)
	g.inClear()
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
		g.inClear()
	}
}

func TestHostSynAckThatCanHaveNoENOPassesByteForByte(t *testing.T) {
	full := []byte{2, 4, 5, 180, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 253, 24, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22}
	for name, other := range map[string][]byte{
		"full option space": full, "MPTCP": {packet.KindMPTCP, 4, 0, 0}, "TCP-AO": {packet.KindAO, 4, 0, 0}, "malformed": {2, 1},
		"experimental ENO": experimentalENO,
	} {
		t.Run(name, func(t *testing.T) {
			g := inState(flowtable.PassiveSyn).at(t)
			raw := g.raw(g.tpl[inside], with(hostSynAck(), other, nil), nil)
			g.feed(g.in, raw)
			g.untouched("SYN-ACK", nil, [][]byte{raw})
			g.inClear()
		})
	}
}

func TestSynThatCanHaveNoENOPassesByteForByte(t *testing.T) {
	for name, s := range map[string]packet.Seg{
		"host speaks ENO":   with(hostSYN(), synOptions, enoOfA),
		"MPTCP":             with(hostSYN(), []byte{packet.KindMPTCP, 4, 0, 0}, nil),
		"experimental ENO":  with(hostSYN(), experimentalENO, nil),
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
			g.inClear()
			g.plainData()
		})
	}
	for name, s := range map[string]packet.Seg{
		"no ENO":          with(peerSYN(), synOptions, nil),
		"two ENO":         with(peerSYN(), nil, append(append([]byte(nil), enoOfA...), enoOfA...)),
		"MPTCP":           with(peerSYN(), []byte{packet.KindMPTCP, 4, 0, 0}, enoOfA),
		"ENO twice over":  with(peerSYN(), experimentalENO, enoOfA),
		"ENO of length 1": with(peerSYN(), nil, []byte{eno.Kind, 1, 1, 1}),
	} {
		t.Run("far end: "+name, func(t *testing.T) {
			g := newShooter(t)
			raw := g.raw(g.tpl[outside], s, nil)
			g.feed(g.out, raw)
			g.untouched("SYN", [][]byte{raw}, nil)
			g.inClear()
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
		g.ctl.rules.Offer = append([]byte{eno.Kind, 34}, make([]byte, 32)...)
		g.ctl.rules.Answer.Valid = handshake.Resumable
		raw := g.raw(g.tpl[inside], with(hostSYN(), append(append([]byte(nil), synOptions...), cookie[:10]...), nil), []byte("early data"))
		g.feed(g.in, raw)
		g.untouched("SYN", nil, [][]byte{raw})
		g.inClear()
	})
}

// A SYN-ACK is a segment with SYN (RFC 8547 section 3): with ENO it has no cookie either (section 4.7), which would be for data that is taken out.
func TestCookieOfAHostsSynAckDoesNotGoOutBesideENO(t *testing.T) {
	cookie := append([]byte{packet.KindTFO, 10}, make([]byte, 8)...)
	full := append(append([]byte(nil), synOptions...), 253, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
	for name, other := range map[string][]byte{"some options": synOptions, "more than have room with the cookie": full} {
		g := inState(flowtable.PassiveSyn).at(t)
		g.host(with(hostSynAck(), append(append([]byte(nil), other...), cookie...), nil))
		m := g.in.cache.Alloc()
		m.Append(g.toWire[0])
		var p packet.Packet
		if p.Parse(m); p.Opt.HasAny(packet.OptTFO) {
			t.Errorf("%s: the cookie is still there", name)
		}
		g.in.cache.Free(m)
		g.expect(name, nil, list("SA s0 a1 mss1460 eno0123"))
	}
}

// A SYN-ACK may have data too (RFC 9293 section 3.4), and must not beside ENO (RFC 8547 section 4.7): it would be in the clear.
func TestDataOfAHostsSynAckDoesNotGoOutBesideENO(t *testing.T) {
	g := inState(flowtable.PassiveSyn).at(t)
	g.host(hostSynAck(), []byte("greeting")...)
	g.expect("SYN-ACK", nil, list("SA s0 a1 mss1460 eno0123"))
	g.wire(withENO(fromPeer(1, 1, ack|psh)), initMessage(tcpcrypt.KindInit1)...)
	g.wire(fromPeer(81, 81, ack))
	g.toHost, g.toWire = nil, nil
	g.host(fromHost(1, 1, ack|psh), []byte("greeting")...)
	g.expect("data", nil, list("PA s81 a81 l28"))
}

func TestDataAndCookieInAPeersSynDoNotReachTheHost(t *testing.T) {
	g := newShooter(t)
	g.wire(with(peerSYN(), append([]byte{packet.KindTFO, 6, 1, 2, 3, 4}, synOptions...), enoOfA), []byte("early")...)
	if n := len(g.toHost[0]); n != 14+20+20+8 {
		t.Errorf("%d bytes", n)
	}
	g.expect("SYN", list("S s0 mss1440"), nil)
}

// RFC 8547 section 4.7: without encryption the data of a SYN with ENO is for nobody, and what it would be to the host is not asked.
func TestDataOfASynWithENOThatFailsDoesNotReachTheHost(t *testing.T) {
	other := []byte{eno.Kind, 3, 0x7f}
	same := []byte{eno.Kind, 3, byte(tcpcrypt.ECDHECurve25519)} // b = 0, as ours
	syns := func(g *rig) {
		for range 2 {
			g.wire(with(peerSYN(), synOptions, other), []byte("early")...)
		}
	}
	t.Run("SYN", func(t *testing.T) {
		g := newShooter(t)
		syns(g)
		g.expect("SYNs", list("S s0 mss1460 eno7f", "S s0 mss1460 eno7f"), nil)
		g.inClear()
	})
	t.Run("SYN-ACK", func(t *testing.T) {
		g := inState(flowtable.ActiveSyn).at(t)
		g.wire(with(peerSynAck(), synOptions, same), []byte("early")...)
		g.expect("SYN-ACK", list("SA s0 a1 mss1460 eno23"), nil)
		g.inClear()
	})
	for name, c := range map[string]struct {
		policy flowtable.Policy
		eno    []byte
	}{
		"several options, which are as none": {flowtable.Opportunistic, append(append([]byte(nil), other...), other...)},
		"no ENO":                             {flowtable.Opportunistic, nil},
		"a gateway that has no part in it":   {flowtable.Disabled, other},
	} {
		t.Run(name, func(t *testing.T) {
			g := newShooter(t)
			g.ctl.policy = c.policy
			raw := g.raw(g.tpl[outside], with(peerSYN(), synOptions, c.eno), []byte("early"))
			g.feed(g.out, raw)
			g.untouched("SYN", [][]byte{raw}, nil)
		})
	}
	t.Run("a host that negotiates itself", func(t *testing.T) {
		g := newShooter(t)
		g.host(with(hostSYN(), synOptions, enoOfA))
		g.toWire = nil
		raw := g.raw(g.tpl[outside], peerSynAck(), []byte("early"))
		g.feed(g.out, raw)
		g.untouched("SYN-ACK", [][]byte{raw}, nil)
	})
}

func TestSimultaneousOpenStaysPlainOnceTheHostHasSaidSo(t *testing.T) {
	t.Run("the far end answers the host's SYN", func(t *testing.T) {
		g := inState(flowtable.ActiveSyn).at(t)
		g.wire(with(peerSYN(), synOptions, nil))
		g.expect("a SYN that may be anybody's", nil, nil)
		b := g.raw(g.tpl[outside], with(peerSynAck(), synOptions, nil), nil)
		g.feed(g.out, b)
		g.untouched("SYN-ACK", [][]byte{b}, nil)
		g.inClear()
		g.plainData()
	})
	t.Run("the host answers the far end's SYN", func(t *testing.T) {
		g := inState(flowtable.PassiveSyn).at(t)
		g.host(hostSYN())
		g.expect("the host's SYN", nil, list("S s0 mss1460 eno23"))
		g.state(flowtable.ActiveSyn)
		a := g.raw(g.tpl[inside], hostSynAck(), nil)
		g.feed(g.in, a)
		g.untouched("SYN-ACK", nil, [][]byte{a})
		g.counted(1, shm.PlainSimultaneous)
		g.plainData()
	})
	t.Run("SYNs without ENO", func(t *testing.T) {
		g := inState(flowtable.ActiveSyn).at(t)
		g.host(hostSYN())
		g.host(hostSYN())
		g.toWire = nil
		b := g.raw(g.tpl[outside], with(peerSYN(), synOptions, nil), nil)
		g.feed(g.out, b)
		g.untouched("SYN", [][]byte{b}, nil)
	})
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
