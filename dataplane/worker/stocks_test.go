package worker

import (
	"fmt"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// flood brings in SYNs of n flows from first on, which nobody answers.
func (g *rig) flood(s flowtable.Side, first, n int, syn packet.Seg) {
	g.t.Helper()
	for i := first; i < first+n; i++ {
		q := g.in
		if s == outside {
			q = g.out
		}
		g.feed(q, g.raw(flowTemplate(i, s == inside), syn, nil))
	}
}

func TestHalfOpenConnectionsNeverTakeThePlaceOfOthersThanTheirKind(t *testing.T) {
	noENO := with(peerSYN(), synOptions, nil)
	for name, c := range map[string]struct {
		s   flowtable.Side
		syn packet.Seg
	}{"from outside": {outside, peerSYN()}, "without ENO": {outside, noENO}, "from inside": {inside, hostSYN()}} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, 4, 256, false)
			g.keep = true
			for n := 1; n <= 4; n++ {
				g.openPassive(n)
			}
			// An answered opener of the same side, and one of the other side that is not.
			g.feed(g.out, g.raw(flowTemplate(5, false), peerSYN(), nil))
			g.feed(g.in, g.raw(flowTemplate(5, true), hostSynAck(), nil))
			g.feed(g.in, g.raw(flowTemplate(6, true), hostSYN(), nil))
			if c.s == inside {
				g.feed(g.out, g.raw(flowTemplate(7, false), peerSYN(), nil))
			}
			g.flood(c.s, 100, 10*testHalfOpen, c.syn)
			for n := 1; n <= 4; n++ {
				if r := g.record(n); r == nil || r.State != flowtable.Encrypted {
					t.Fatalf("encrypted flow %d suffered", n)
				}
			}
			if r := g.record(5); r == nil || r.State != flowtable.PassiveAck {
				t.Error("one that was answered went for one that was not")
			}
			if r := g.record(6); c.s == outside && r == nil {
				t.Error("an opener inside went for one outside")
			}
			if r := g.record(7); c.s == inside && r == nil {
				t.Error("an opener outside went for one inside")
			}
			if r := g.record(100 + 10*testHalfOpen - 1); r == nil {
				t.Error("the youngest is not there")
			}
			if g.w.n[shm.HalfOpenEvicted] == 0 {
				t.Error("what was forgotten is not counted")
			}
			g.later(40 * second)
			for n := 100; n < 100+10*testHalfOpen; n++ {
				if g.record(n) != nil {
					t.Fatalf("flow %d is half open for ever", n)
				}
			}
		})
	}
}

func TestOldestHalfOpenConnectionGoesFirst(t *testing.T) {
	g := newShooter(t)
	g.flood(outside, 1, testHalfOpen/2+1, peerSYN())
	if g.record(1) != nil || g.record(2) == nil || g.record(testHalfOpen/2+1) == nil {
		t.Error("it is not the oldest that went")
	}
}

func TestHalfOpenConnectionHoldsNeitherBufferNorBlockNorQuestion(t *testing.T) {
	g := newShooter(t)
	buffers := g.in.cache.Avail()
	g.mute = true
	g.flood(inside, 1, 4, hostSYN())
	g.flood(outside, 11, 4, peerSYN())
	for n := 11; n < 13; n++ {
		g.feed(g.in, g.raw(flowTemplate(n, true), hostSynAck(), nil))
	}
	if n := g.in.cache.Avail(); n != buffers || g.w.blocks.used != 0 || g.w.n[shm.RequestsSent] != 0 {
		t.Errorf("%d buffers, %d blocks and %d questions", buffers-n, g.w.blocks.used, g.w.n[shm.RequestsSent])
	}
}

// openInit takes flow n from a peer of its own to the point where its Init1 is awaited.
func (g *rig) openInit(n int, peer [2]byte) *flowtable.Record {
	g.t.Helper()
	in, out := g.tupleOf(n, peer)
	g.feed(g.out, g.raw(out, peerSYN(), nil))
	g.feed(g.in, g.raw(in, hostSynAck(), nil))
	g.feed(g.out, g.raw(out, withENO(fromPeer(1, 1, ack)), nil))
	k := flowtable.Key{Inside: in.Src, Outside: in.Dst, InsidePort: in.SrcPort, OutsidePort: in.DstPort}
	return g.w.table.Record(g.w.table.Lookup(&k, g.w.table.Hash(&k)))
}

// tupleOf is flowTemplate with a far end in a /24 of its own.
func (g *rig) tupleOf(n int, peer [2]byte) (in, out packet.Template) {
	in = flowTemplate(n, true)
	in.Dst[13], in.Dst[14] = peer[0], peer[1]
	out = in
	out.Reverse()
	return in, out
}

func TestPeerThatHoldsMostBlocksGivesOneUp(t *testing.T) {
	g := newRig(t, 128, 512, false)
	const all = 64
	g.w.blocks = blocks{}
	g.w.blocks.init(all)
	n := 0
	open := func(peer [2]byte) bool {
		n++
		r := g.openInit(n, peer)
		return r != nil && r.State == flowtable.PassiveInit
	}
	greedy := [2]byte{9, 9}
	for n < 3*all/4+1 && open(greedy) {
	}
	if !open([2]byte{8, 8}) {
		t.Fatal("another peer gets no block although some are free")
	}
	for range 8 {
		if open(greedy) {
			t.Fatal("a peer gets more than its share while blocks are scarce")
		}
	}
	if g.w.n[shm.DropNoBlock] == 0 || g.w.n[shm.SetupOverload] == 0 {
		t.Error("refusals are not counted")
	}
	// Others use the rest up, and then take from the greedy one.
	for i := range byte(40) {
		if !open([2]byte{1, i}) {
			t.Fatalf("peer %d gets no block although one peer holds most: %d in use", i, g.w.blocks.used)
		}
	}
	if g.w.n[shm.AbortShare] == 0 {
		t.Error("nobody gave up a block")
	}
	if g.w.n[shm.PlainControlAway]+g.w.n[shm.HandshakesFallback] != 0 {
		t.Error("a lack of blocks led to plaintext")
	}
}

func TestKeyExchangeThatHasHadItsTimeGivesItsBlockToOthers(t *testing.T) {
	g := newRig(t, 128, 512, false)
	g.w.blocks = blocks{}
	g.w.blocks.init(4)
	for i := range byte(4) {
		g.openInit(1+int(i), [2]byte{1, i})
	}
	if r := g.openInit(10, [2]byte{2, 2}); r.State != flowtable.PassiveAck {
		t.Fatalf("state %v: four peers with a block each, none of them late", r.State)
	}
	g.later(blockTime)
	if r := g.openInit(11, [2]byte{2, 2}); r.State != flowtable.PassiveInit {
		t.Errorf("state %v", r.State)
	}
	if r := g.record(1); r != nil && r.State == flowtable.PassiveInit {
		t.Error("the oldest still has its block")
	}
}

func TestLargeInitMessagesComeFromAStockOfTheirOwnAndAreErased(t *testing.T) {
	var s blocks
	s.init(64)
	k := flowtable.Key{OutsidePort: 1}
	large := make([]byte, shm.MaxInit)
	for i := range large {
		large[i] = 0xa5
	}
	var taken []uint32
	for range largeInits {
		b, n := s.take(1, &k, 0)
		if !s.setInit(b, flowtable.RoleA, large) || len(s.initOf(b, flowtable.RoleA)) != len(large) {
			t.Fatal("a large message is not kept")
		}
		taken = append(taken, n)
	}
	b, n := s.take(1, &k, 0)
	if s.setInit(b, flowtable.RoleA, large[:initRoom+1]) {
		t.Error("more large messages than buffers")
	}
	if !s.setInit(b, flowtable.RoleA, large[:initRoom]) {
		t.Error("a message of ordinary size does not fit")
	}
	s.put(n, &k)
	for _, n := range taken {
		s.put(n, &k)
	}
	for i, l := range s.large {
		for _, c := range l {
			if c != 0 {
				t.Fatalf("large buffer %d is not erased", i)
			}
		}
	}
	if len(s.freeLarge) != largeInits || s.used != 0 || s.peers.of(&k) != 0 {
		t.Errorf("%d large buffers and %d blocks came back", len(s.freeLarge), s.used)
	}
	for i := range s.all {
		if b := &s.all[i]; b.nSecret != 0 || b.init[0] != [initRoom]byte{} || b.large != 0 {
			t.Fatalf("block %d is not erased", i)
		}
	}
}

func TestLargeInit1WithoutABufferEndsThatConnectionAlone(t *testing.T) {
	g := passiveStages[1].at(t)
	g.w.blocks.freeLarge = nil
	init1 := initMessage(tcpcrypt.KindInit1)
	init1 = append(init1, make([]byte, initRoom)...)
	init1[6], init1[7] = byte(len(init1)>>8), byte(len(init1))
	g.wire(withENO(fromPeer(1, 1, ack|psh)), init1...)
	g.counted(1, shm.AbortLargeInit)
	g.state(flowtable.Closing)
	if r := g.openPassive(3); r.State != flowtable.Encrypted {
		t.Error("another connection suffered")
	}
}

func TestAckWithENOOfAForgottenConnectionResetsBothEndsAndNothingPasses(t *testing.T) {
	g := newShooter(t)
	g.wire(withENO(fromPeer(1, 1, ack|psh)), initMessage(tcpcrypt.KindInit1)...)
	g.expect("ACK", list("R s1"), list("RA s1 a81"))
	g.counted(1, shm.DropStrayENO)
}

func TestVerdictOnAConnectionOutlivesAChangeOfPolicy(t *testing.T) {
	g := inState(flowtable.ActiveSyn).at(t)
	g.ctl.policy = flowtable.Require
	raw := g.raw(g.tpl[outside], with(peerSynAck(), synOptions, nil), nil)
	g.feed(g.out, raw)
	g.untouched("SYN-ACK", [][]byte{raw}, nil)
	g.plainData()
	g = newShooter(t)
	g.ctl.policy = flowtable.Require
	g.host(hostSYN())
	g.ctl.policy = flowtable.Opportunistic
	g.toWire = nil
	g.wire(with(peerSynAck(), synOptions, nil))
	g.expect("SYN-ACK without ENO", list("RA s=zero a1"), list("RA s1 a1"))
	g.counted(1, shm.RefusedNoENOInSynAck)
	g.counted(1, shm.HandshakesRefused)
	g.counted(0, shm.HandshakesAborted)
	g.counted(0, shm.HandshakesFallback)
	g.counted(1, shm.DropRefused)
}

func TestInitMessageWithoutItsENONeverReachesTheHost(t *testing.T) {
	init1 := initMessage(tcpcrypt.KindInit1)
	t.Run("in the first ACK", func(t *testing.T) {
		g := inState(flowtable.PassiveAck).at(t)
		g.wire(fromPeer(1, 1, ack|psh), init1...)
		g.expect("Init1", list("R s1"), list("R s1"))
		g.wire(fromPeer(1, 1, ack|psh), init1[:40]...)
		g.wire(fromPeer(41, 1, ack|psh), init1[40:]...)
		g.expect("what else comes of it", nil, list("R s1", "R s1"))
		g.counted(1, shm.AbortInitWithoutENO)
	})
	t.Run("behind the first ACK", func(t *testing.T) {
		g := inState(flowtable.PassiveAck).at(t)
		first := g.raw(g.tpl[outside], fromPeer(1, 1, ack), nil)
		g.feed(g.out, first)
		g.untouched("ACK", [][]byte{first}, nil)
		g.wire(fromPeer(41, 1, ack|psh), init1[40:]...)
		g.expect("its second half first", nil, nil)
		g.wire(fromPeer(1, 1, ack|psh), init1[:40]...)
		g.expect("its first half", list("R s1"), list("R s1"))
	})
	t.Run("second half first", func(t *testing.T) {
		g := inState(flowtable.PassiveAck).at(t)
		g.wire(fromPeer(41, 1, ack|psh), init1[40:]...)
		g.expect("cannot be told", nil, nil)
		g.state(flowtable.PassiveAck)
	})
	t.Run("data that is none", func(t *testing.T) {
		g := inState(flowtable.PassiveAck).at(t)
		g.wire(fromPeer(1, 1, ack))
		g.toHost = nil
		raw := g.raw(g.tpl[outside], fromPeer(1, 1, ack|psh), []byte("GET / HTTP/1.1"))
		g.feed(g.out, raw)
		g.untouched("data", [][]byte{raw}, nil)
		later := g.raw(g.tpl[outside], fromPeer(400, 1, ack|psh), init1)
		g.feed(g.out, later)
		g.untouched("bytes that only look like one", [][]byte{later}, nil)
	})
}

func TestWithoutABufferInit1GoesLaterAndNothingIsPlain(t *testing.T) {
	g := newShooter(t)
	g.host(hostSYN())
	g.mute = true
	g.wire(peerSynAck())
	g.state(flowtable.ActiveAnswer)
	all := g.takeBuffers()
	g.mute = false
	g.turn()
	g.state(flowtable.ActiveAnswer)
	g.in.cache.FreeBurst(all)
	g.toWire = nil
	g.later(second)
	g.state(flowtable.ActiveInit)
	if len(g.toWire) == 0 || g.shot(outside, g.toWire[0]) != "PA s1 a1 l80 eno" {
		t.Errorf("Init1 did not go: %d segments", len(g.toWire))
	}
	if n := g.w.n[shm.HandshakesFallback]; n != 0 {
		t.Errorf("%d connections are plain", n)
	}
}

func TestTheReasonsAreCountedByNameAndOnce(t *testing.T) {
	for _, c := range []struct {
		why   shm.Counter
		total shm.Counter
		do    func(g *rig)
	}{
		{shm.PlainNoENOInSynAck, shm.HandshakesFallback, func(g *rig) { g.host(hostSYN()); g.wire(with(peerSynAck(), synOptions, nil)) }},
		{shm.PlainNoENOInAck, shm.HandshakesFallback, func(g *rig) { g.wire(peerSYN()); g.host(hostSynAck()); g.wire(fromPeer(1, 1, ack)) }},
		{shm.PlainENOGivenUp, shm.HandshakesFallback, func(g *rig) { g.wire(peerSYN()); g.wire(with(peerSYN(), synOptions, nil)) }},
		{shm.PlainNoENOInSyn, shm.CounterNone, func(g *rig) { g.wire(with(peerSYN(), synOptions, nil)) }},
		{shm.PlainBindingOptions, shm.CounterNone, func(g *rig) { g.host(with(hostSYN(), []byte{packet.KindMPTCP, 4, 0, 0}, nil)) }},
		{shm.PlainHostENO, shm.CounterNone, func(g *rig) { g.host(with(hostSYN(), synOptions, enoOfA)) }},
		{shm.PlainControlAway, shm.CounterNone, func(g *rig) { g.ctl.dead = true; g.host(hostSYN()) }},
		{shm.RefusedControlAway, shm.HandshakesRefused, func(g *rig) { g.ctl.policy, g.ctl.dead = flowtable.Require, true; g.host(hostSYN()) }},
		{shm.PlainNoCommonTEP, shm.CounterNone, func(g *rig) { g.wire(with(peerSYN(), synOptions, []byte{69, 3, 0x7f})) }},
		{shm.PlainSameRole, shm.CounterNone, func(g *rig) { g.wire(with(peerSYN(), synOptions, []byte{69, 4, 1, 0x23})) }},
		{shm.PlainDisabled, shm.CounterNone, func(g *rig) { g.ctl.policy = flowtable.Disabled; g.host(hostSYN()) }},
		{shm.AbortPeerReset, shm.HandshakesAborted, func(g *rig) {
			activeStages[3].reach(g)
			g.wire(fromPeer(81, 81, rst|ack))
		}},
		{shm.AbortHostReset, shm.HandshakesAborted, func(g *rig) {
			activeStages[3].reach(g)
			g.host(fromHost(1, 0, rst))
		}},
	} {
		t.Run(c.why.String(), func(t *testing.T) {
			g := newShooter(t)
			c.do(g)
			g.counted(1, c.why)
			if c.total != shm.CounterNone {
				g.counted(1, c.total)
			}
			if n := g.w.n[shm.HandshakesFallback] + g.w.n[shm.HandshakesRefused] + g.w.n[shm.HandshakesAborted]; n > 1 {
				t.Errorf("counted %d times", n)
			}
			if n := g.named(); n != 1 {
				t.Errorf("%d named reasons: %v", n, fmt.Sprint(g.reasons()))
			}
		})
	}
}

// named is how many connections were left plain, refused or aborted by name.
func (g *rig) named() (n uint64) {
	table := shm.NewTable()
	for c := shm.PlainNoENOInSyn; c < shm.NumCounters; c++ {
		switch table.Info(c).Kind {
		case shm.KindPlain, shm.KindRefusal, shm.KindAbort:
			n += g.w.n[c]
		}
	}
	return n
}

func (g *rig) reasons() (names []string) {
	for c := shm.PlainNoENOInSyn; c < shm.NumCounters; c++ {
		if g.w.n[c] != 0 {
			names = append(names, c.String())
		}
	}
	return names
}
