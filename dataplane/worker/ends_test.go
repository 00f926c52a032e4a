package worker

import (
	"slices"
	"strings"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

func TestResetReachesTheOtherEndInAFormItsStateAccepts(t *testing.T) {
	// A host in SYN-SENT takes a RST that acknowledges its SYN, one in SYN-RECEIVED a RST at the number it expects.
	for _, c := range []struct {
		name       string
		at         stage
		fromWire   bool
		seg        packet.Seg
		host, wire []string
		left       flowtable.State
	}{
		{"refused by the far end", activeStages[0], true, packet.Seg{Ack: hostISN + 1, Flags: rst | ack}, nil, list("S s0 mss1460"), flowtable.PlainSyn},
		{"far end, its SYN-ACK held", activeStages[1], true, fromPeer(1, 0, rst), list("RA s=zero a1"), nil, flowtable.Free},
		{"far end, Init1 under way", activeStages[2], true, fromPeer(1, 0, rst), list("RA s=zero a1"), nil, flowtable.Free},
		{"far end, Init2 at the control plane", activeStages[3], true, fromPeer(81, 81, rst|ack), list("RA s=zero a1"), nil, flowtable.Free},
		{"far end, SYN-ACK released", activeStages[4], true, fromPeer(81, 81, rst|ack), list("RA s1 a1"), nil, flowtable.Closing},
		{"far end, encrypted", activeStages[5], true, fromPeer(81, 0, rst), list("R s1"), nil, flowtable.Closing},
		{"host, SYN sent", activeStages[0], false, fromHost(1, 0, rst), nil, list("R s1"), flowtable.Free},
		{"host, SYN-ACK held", activeStages[1], false, fromHost(1, 0, rst), nil, list("R s1"), flowtable.Free},
		{"host, Init1 under way", activeStages[2], false, fromHost(1, 0, rst), list("RA s1 a1"), list("RA s81 a1 eno"), flowtable.Closing},
		{"host, encrypted", activeStages[5], false, fromHost(1, 1, rst|ack), nil, list("RA s81 a81"), flowtable.Closing},
		{"far end gives up, SYN passed", passiveStages[0], true, fromPeer(1, 0, rst), list("R s1"), nil, flowtable.Free},
		{"far end, SYN-ACK passed", passiveStages[1], true, fromPeer(1, 0, rst), list("R s1"), nil, flowtable.Free},
		{"far end, half of Init1", passiveStages[2], true, fromPeer(41, 0, rst), list("R s1"), nil, flowtable.Free},
		{"far end, Init1 at the control plane", passiveStages[3], true, fromPeer(81, 0, rst), list("R s1"), nil, flowtable.Free},
		{"far end, passive encrypted", passiveStages[4], true, fromPeer(81, 0, rst), list("R s1"), nil, flowtable.Closing},
		{"refused by the host", passiveStages[0], false, packet.Seg{Ack: peerISN + 1, Flags: rst | ack}, nil, list("RA s=zero a1"), flowtable.Free},
		{"host, SYN-ACK passed", passiveStages[1], false, fromHost(1, 0, rst), nil, list("R s1"), flowtable.Free},
		{"host, half of Init1", passiveStages[2], false, fromHost(1, 0, rst), list("RA s1 a1"), list("RA s1 a41"), flowtable.Closing},
		{"host, passive encrypted", passiveStages[4], false, fromHost(1, 0, rst), nil, list("R s81"), flowtable.Closing},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := c.at.at(t)
			if c.fromWire {
				g.wire(c.seg)
			} else {
				g.host(c.seg)
			}
			g.expect(c.name, c.host, c.wire)
			g.state(c.left)
			if c.left == flowtable.Closing {
				g.bothKnow()
			}
		})
	}
}

// bothKnow answers what the gateway asks the ends of a connection that is over, as hosts do that have it no more.
func (g *rig) bothKnow() {
	g.t.Helper()
	g.later(60 * second)
	g.state(flowtable.Closing)
	r := g.record(0)
	g.host(packet.Seg{Seq: r.Host.ISN + 1 + uint32(r.Egress.PUna), Flags: rst})
	g.state(flowtable.Closing)
	g.wire(packet.Seg{Seq: r.Peer.ISN + 1 + uint32(r.Ingress.WAcked), Flags: rst})
	g.state(flowtable.Free)
}

func TestResetOfAnOlderConnectionDoesNotEndSetUp(t *testing.T) {
	for _, c := range []struct {
		at     stage
		s      flowtable.Side
		seg    packet.Seg
		passes bool
	}{
		{activeStages[0], outside, fromPeer(5, 0, rst), true},
		{activeStages[0], outside, packet.Seg{Ack: hostISN + 7, Flags: rst | ack}, true},
		{activeStages[0], inside, fromHost(5000, 0, rst), true},
		{activeStages[2], outside, fromPeer(5, 0, rst), false},
		{passiveStages[0], outside, fromPeer(5, 0, rst), true},
		{passiveStages[1], outside, fromPeer(5, 0, rst), true},
		{passiveStages[1], inside, fromHost(5000, 0, rst), true},
		{passiveStages[2], outside, fromPeer(5, 0, rst), false},
	} {
		g := c.at.at(t)
		g.mute = true
		raw := g.raw(g.tpl[c.s], c.seg, nil)
		if c.s == inside {
			g.feed(g.in, raw)
		} else {
			g.feed(g.out, raw)
		}
		got := g.toHost
		if c.s == inside {
			got = g.toWire
		}
		if passed := len(got) > 0 && slices.Equal(got[0], raw); passed != c.passes {
			t.Errorf("%s, side %d: passed %v", c.at.name, c.s, passed)
		}
		g.state(c.at.state)
	}
}

func TestSetUpThatNobodyFinishesEnds(t *testing.T) {
	for _, c := range []struct {
		at         stage
		host, wire []string
	}{
		{activeStages[0], nil, nil},
		{passiveStages[0], nil, nil},
		{passiveStages[1], list("R s1"), list("RA s1 a1")},
		{passiveStages[2], list("RA s1 a1"), list("RA s1 a41")},
		{passiveStages[3], list("RA s1 a1"), list("RA s1 a81")},
		{activeStages[3], list("RA s1 a1"), list("RA s81 a81")},
	} {
		t.Run(c.at.name, func(t *testing.T) {
			g := c.at.at(t)
			g.mute = true
			g.later(31 * second)
			g.expect("time is over", c.host, c.wire)
			if r := g.record(0); r != nil {
				g.bothKnow()
			}
		})
	}
	t.Run("Init1 unanswered", func(t *testing.T) {
		g := activeStages[2].at(t)
		g.later(31 * second)
		n := len(g.toWire)
		if n < 4 || g.shot(outside, g.toWire[n-1]) != "RA s81 a1 eno" || len(g.toHost) != 1 || g.shot(inside, g.toHost[0]) != "RA s1 a1" {
			t.Errorf("%d segments out, %d in", n, len(g.toHost))
		}
	})
}

func TestHostThatNeverAnswersItsSynAckIsAskedAndThenReset(t *testing.T) {
	g := activeStages[4].at(t)
	g.later(31 * second)
	g.expect("set-up time is over", list("SA s0 a1 mss1440"), nil)
	g.later(4 * second)
	g.expect("no answer, and whether both know", list("RA s1 a1", "A s0 a1"), list("RA s81 a81", "A s80 a81"))
	if !slices.Equal(g.closed, []shm.Reason{shm.ReasonTimeout}) {
		t.Errorf("reported %v", g.closed)
	}
	g = activeStages[4].at(t)
	g.later(31 * second)
	g.host(fromHost(1, 1, ack))
	g.later(20 * second)
	g.state(flowtable.Encrypted)
}

func TestControlPlaneThatIsAwayOrSilentLeavesNewConnectionsPlain(t *testing.T) {
	for name, c := range map[string]struct {
		before stage
		seg    packet.Seg
		s      flowtable.Side
	}{
		"active open":   {stage{}, hostSYN(), inside},
		"active answer": {activeStages[0], peerSynAck(), outside},
		"passive open":  {stage{}, peerSYN(), outside},
	} {
		for _, dead := range []bool{false, true} {
			if dead != (c.before.reach == nil) {
				continue
			}
			for policy, refused := range map[flowtable.Policy]bool{flowtable.Opportunistic: false, flowtable.Require: true} {
				t.Run(name, func(t *testing.T) {
					g := newShooter(t)
					g.ctl.policy, g.ctl.dead = policy, dead
					if c.before.reach != nil {
						c.before.reach(g)
					}
					g.toHost, g.toWire = nil, nil
					g.mute = true
					raw := g.raw(g.tpl[c.s], c.seg, nil)
					if c.s == inside {
						g.feed(g.in, raw)
					} else {
						g.feed(g.out, raw)
					}
					if !dead {
						g.later(20 * second)
						g.expect("patience with a control plane that lives", nil, nil)
					}
					g.ctl.dead = true
					g.later(2500 * ms)
					switch {
					case refused && name == "active open":
						g.expect("refusal", list("RA s=zero a1"), nil)
					case refused && name == "active answer":
						g.expect("refusal", list("RA s=zero a1"), list("RA s1 a1"))
					case refused:
						g.expect("refusal", nil, list("RA s=zero a1"))
					case c.s == inside:
						g.untouched("passed", nil, [][]byte{raw})
						g.plainData()
					default:
						g.untouched("passed", [][]byte{raw}, nil)
						g.plainData()
					}
				})
			}
		}
	}
}

func TestConfirmedConnectionsWaitForANewControlPlane(t *testing.T) {
	for _, at := range []stage{activeStages[3], passiveStages[3]} {
		t.Run(at.name, func(t *testing.T) {
			g := newShooter(t)
			at.reach(g)
			g.toHost, g.toWire = nil, nil
			g.mute = true
			var old shm.Request
			for { // a dead control plane reads nothing; what was asked stays in the ring for the next one
				msg, err := g.asked.Peek()
				if err != nil || msg == nil {
					break
				}
				if err := old.Decode(msg); err != nil {
					t.Fatal(err)
				}
				g.asked.Release()
			}
			g.later(5 * second)
			g.state(at.state)
			g.mute = false
			g.later(5 * second)
			g.state(flowtable.Encrypted)
			if g.w.n[shm.RequestsLost] == 0 {
				t.Error("no question was asked again")
			}
		})
	}
}

func TestStaleAndSenselessRepliesChangeNothing(t *testing.T) {
	g := passiveStages[3].at(t)
	r := g.state(flowtable.PassiveKeys)
	good := shm.FlowRef{Worker: 0, Index: 1, Gen: r.Gen}
	for i := flowtable.Index(1); g.w.table.Record(i) != r; i++ {
		good.Index = i + 1
	}
	keys := shm.Reply{Kind: shm.Keys, Role: 2, TEP: 0x23, AEAD: 1, Init: initMessage(tcpcrypt.KindInit2)}
	for name, c := range map[string]struct {
		ref   shm.FlowRef
		seq   uint32
		reply shm.Reply
		n     shm.Counter
	}{
		"another generation": {shm.FlowRef{Index: good.Index, Gen: good.Gen + 1}, r.Rare.Request, keys, shm.RepliesStale},
		"another worker":     {shm.FlowRef{Worker: 1, Index: good.Index, Gen: good.Gen}, r.Rare.Request, keys, shm.RepliesStale},
		"no such record":     {shm.FlowRef{Index: 1 << 30, Gen: 1}, r.Rare.Request, keys, shm.RepliesStale},
		"older question":     {good, r.Rare.Request - 1, keys, shm.RepliesStale},
		"answer to another":  {good, r.Rare.Request, shm.Reply{Kind: shm.Init1, Secret: []byte{1}, Init: initMessage(tcpcrypt.KindInit1)}, shm.RepliesBad},
	} {
		before := g.w.n[c.n]
		c.reply.Ref, c.reply.Seq = c.ref, c.seq
		if !g.answer.SendReply(&c.reply) {
			t.Fatal("no room")
		}
		g.mute = true
		g.turn()
		g.mute = false
		if g.w.n[c.n] != before+1 {
			t.Errorf("%s: not counted", name)
		}
		g.state(flowtable.PassiveKeys)
	}
	g.turn()
	g.state(flowtable.Encrypted)
}

func TestPassBehindConfirmedENOResetsInsteadOfGoingBackToPlaintext(t *testing.T) {
	g := passiveStages[2].at(t)
	g.change = func(q *shm.Request, rep *shm.Reply) {
		*rep = shm.Reply{Kind: shm.Pass, Reason: shm.ReasonNoAEAD, Ref: q.Ref, Seq: q.Seq}
	}
	g.wire(fromPeer(41, 1, ack|psh), initMessage(tcpcrypt.KindInit1)[40:]...)
	g.expect("Init1", list("RA s1 a1"), list("A s1 a81", "RA s1 a81"))
}

func TestRequireRefusesWhatCannotBeEncrypted(t *testing.T) {
	g := newShooter(t)
	g.ctl.policy = flowtable.Require
	g.wire(with(peerSYN(), synOptions, nil))
	g.expect("plain SYN from outside", nil, list("RA s=zero a1"))
	g.host(with(hostSYN(), []byte{packet.KindMPTCP, 4, 0, 0}, nil))
	g.expect("MPTCP SYN of a host", list("RA s=zero a1"), nil)
	g.host(fromHost(1, 1, ack|psh), []byte("secret")...)
	g.wire(fromPeer(1, 1, ack|psh), []byte("unknown")...)
	g.expect("unknown connection", nil, nil)
	g.host(hostSYN())
	g.wire(with(peerSynAck(), synOptions, nil))
	g.expect("SYN-ACK without ENO", list("RA s=zero a1"), list("S s0 mss1460 eno23", "RA s1 a1"))
	g.state(flowtable.Free)
	g.wire(peerSYN())
	g.host(with(hostSynAck(), []byte{packet.KindMPTCP, 4, 0, 0}, nil))
	g.expect("SYN-ACK that can have no ENO", list("S s0 mss1440", "R s1"), list("RA s1 a1"))
	g.wire(peerSYN())
	g.host(hostSynAck())
	g.wire(fromPeer(1, 1, ack))
	g.expect("ACK without ENO", list("S s0 mss1440", "R s1"), list("SA s0 a1 mss1460 eno0123", "RA s1 a1"))
	g.host(hostSYN())
	for range 4 {
		g.later(second)
		g.host(hostSYN())
	}
	for _, raw := range g.toWire {
		if s := g.shot(outside, raw); s != "S s0 mss1460 eno23" {
			t.Errorf("%q went out", s)
		}
	}
}

func TestRequireKeepsPassingAHostThatSpeaksENOItself(t *testing.T) {
	g := newShooter(t)
	g.ctl.policy = flowtable.Require
	a := g.raw(g.tpl[inside], with(hostSYN(), synOptions, enoOfA), nil)
	b := g.raw(g.tpl[outside], peerSynAck(), nil)
	g.feed(g.in, a)
	g.feed(g.out, b)
	g.untouched("SYNs", [][]byte{b}, [][]byte{a})
	g.host(fromHost(1, 1, ack))
	g.later(400 * second)
	g.toWire = nil
	g.plainData()
	g.host(fromHost(9, 7, ack|fin))
	g.toWire = nil
	g.later(60 * second)
	g.plainData()
}

func TestDisabledPassesEverything(t *testing.T) {
	g := newShooter(t)
	g.ctl.policy = flowtable.Disabled
	a, b := g.raw(g.tpl[inside], hostSYN(), nil), g.raw(g.tpl[outside], peerSYN(), nil)
	g.feed(g.in, a)
	g.feed(g.out, b)
	g.untouched("SYNs", [][]byte{b}, [][]byte{a})
	g.state(flowtable.PlainSyn) // what was decided is remembered: another policy that comes later is none for this connection
	g.ctl.policy = flowtable.Require
	a, b = g.raw(g.tpl[outside], peerSynAck(), nil), g.raw(g.tpl[inside], fromHost(1, 1, ack), nil)
	g.feed(g.out, a)
	g.feed(g.in, b)
	g.untouched("the answer and what follows", [][]byte{a}, [][]byte{b})
}

// withoutABlock is a rig of which another connection has the only block, and waits for the control plane.
func withoutABlock(t *testing.T) *rig {
	t.Helper()
	g := newShooter(t)
	g.w.blocks = blocks{}
	g.w.blocks.init(1)
	g.mute = true
	g.feed(g.in, g.raw(flowTemplate(1, true), hostSYN(), nil))
	g.feed(g.out, g.raw(flowTemplate(1, false), peerSynAck(), nil))
	return g
}

func TestWithoutABlockTheSynAckIsNeededAgainAndNothingIsPlain(t *testing.T) {
	g := withoutABlock(t)
	g.host(hostSYN())
	g.toWire = nil
	g.wire(peerSynAck())
	g.expect("SYN-ACK without a block", nil, nil)
	g.counted(1, shm.SetupOverload)
	g.counted(1, shm.DropNoBlock)
	g.state(flowtable.ActiveSyn)
	g.mute = false
	g.turn()
	g.feed(g.out, g.raw(flowTemplate(1, false), fromPeer(1, 81, ack|psh), initMessage(tcpcrypt.KindInit2)))
	g.feed(g.in, g.raw(flowTemplate(1, true), fromHost(1, 1, ack), nil))
	g.wire(peerSynAck())
	g.state(flowtable.ActiveInit)
}

func TestWithoutABlockAHostsSynsGoWithENOAsLongAsTheyAreAnswered(t *testing.T) {
	g := withoutABlock(t)
	for n := range 5 {
		g.toWire = nil
		g.host(hostSYN())
		if s := g.shot(outside, g.toWire[0]); len(g.toWire) != 1 || !strings.Contains(s, "eno") {
			t.Fatalf("SYN %d: %q", n, s)
		}
		g.wire(peerSynAck())
		g.now += second
	}
	g.state(flowtable.ActiveSyn)
	g.counted(0, shm.PlainSynUnanswered)
	g.counted(0, shm.HatesRemembered)
	// Those that nobody answers go without in the end.
	for range g.w.params.ENOTries + 1 {
		g.host(hostSYN())
	}
	g.inClear()
	g.counted(1, shm.PlainSynUnanswered)
}

func TestFullTableEvictsPlainConnectionsAndElsePassesWithoutARecord(t *testing.T) {
	g := newRig(t, 4, 256, false)
	g.keep = true
	noENO := with(peerSYN(), synOptions, nil)
	for n := 1; n <= 4; n++ {
		g.feed(g.out, g.raw(flowTemplate(n, false), noENO, nil))
		g.feed(g.in, g.raw(flowTemplate(n, true), hostSynAck(), nil))
		g.feed(g.out, g.raw(flowTemplate(n, false), fromPeer(1, 1, ack), nil))
	}
	for n := 5; n <= 8; n++ {
		g.openPassive(n)
	}
	g.counted(4, shm.FlowsEvicted)
	g.toHost, g.toWire = nil, nil
	g.host(hostSYN())
	g.expect("SYN", nil, list("S s0 mss1460 eno23"))
	raw := g.raw(g.tpl[outside], peerSynAck(), nil)
	g.feed(g.out, raw)
	g.untouched("SYN-ACK", [][]byte{raw}, nil)
	g.state(flowtable.Free)
	g.counted(1, shm.PlainTableFull)
	g.ctl.policy = flowtable.Require
	g.host(hostSYN())
	g.toWire = nil
	g.feed(g.out, raw)
	g.expect("SYN-ACK under require", list("RA s=zero a1"), list("R s1"))
	g.counted(1, shm.RefusedTableFull)
	g.counted(1, shm.HandshakesRefused)
	g.ctl.policy = flowtable.Opportunistic
	g.wire(peerSYN())
	g.host(hostSynAck())
	g.toHost, g.toWire = nil, nil
	g.wire(withENO(fromPeer(1, 1, ack|psh)), initMessage(tcpcrypt.KindInit1)...)
	g.expect("ACK that confirms ENO", list("R s1"), list("RA s1 a1"))
	g.counted(1, shm.AbortTableFull)
}

func TestCloseIsReportedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(g *rig)
		want shm.Reason
	}{
		"RST":     {func(g *rig) { g.host(fromHost(1, 1, rst|ack)) }, shm.ReasonReset},
		"silence": {func(g *rig) { g.later(8 * second) }, shm.ReasonTimeout},
		"new connection": {func(g *rig) {
			s := hostSYN()
			s.Seq += 77777
			g.host(s)
			g.host(fromHost(1, 0, rst)) // the host's answer to the challenge
			g.host(s)
		}, shm.ReasonReset},
		"worker stops": {func(g *rig) { g.w.Shutdown(g.now, func() {}) }, shm.ReasonReset},
		"both FINs": {func(g *rig) {
			g.host(fromHost(1, 1, ack|fin))
			g.wire(fromPeer(81, 102, ack|fin), g.sealedFIN(80)...)
			g.host(fromHost(2, 2, ack))
		}, shm.ReasonFinished},
	} {
		t.Run(name, func(t *testing.T) {
			g := activeStages[5].at(t)
			g.w.params.FlowIdle = 7 * second
			if name != "silence" {
				g.w.params.FlowIdle = 3600 * second
			}
			g.w.schedule(g.index(), g.state(flowtable.Encrypted))
			g.w.table.Arm(g.index(), g.now+7*second)
			c.end(g)
			g.later(60 * second)
			if !slices.Equal(g.closed, []shm.Reason{c.want}) {
				t.Errorf("reported %v, not once %v", g.closed, c.want)
			}
		})
	}
}

// index returns the record's index of flow 0.
func (g *rig) index() flowtable.Index {
	tpl := g.tpl[inside]
	k := flowtable.Key{Inside: tpl.Src, Outside: tpl.Dst, InsidePort: tpl.SrcPort, OutsidePort: tpl.DstPort}
	return g.w.table.Lookup(&k, g.w.table.Hash(&k))
}

func TestStoppingResetsEveryoneWhoBelievesInEncryption(t *testing.T) {
	for _, c := range []struct {
		at         stage
		host, wire []string
	}{
		{activeStages[0], nil, nil},
		{passiveStages[0], nil, nil},
		{passiveStages[1], list("R s1"), list("RA s1 a1")},
		{passiveStages[2], list("RA s1 a1"), list("RA s1 a41")},
		{activeStages[2], list("RA s1 a1"), list("RA s81 a1 eno")},
		{activeStages[5], list("RA s1 a1"), list("RA s81 a81")},
		{passiveStages[4], list("RA s1 a1"), list("RA s81 a81")},
	} {
		t.Run(c.at.name, func(t *testing.T) {
			g := c.at.at(t)
			rounds := 0
			g.w.Shutdown(g.now, func() {
				if rounds == 0 {
					g.expect("shutdown", c.host, c.wire)
				} else if (len(g.toHost) > 0) != (c.host != nil) || (len(g.toWire) > 0) != (c.wire != nil) {
					t.Errorf("round %d: %d RSTs to the host, %d to the wire", rounds, len(g.toHost), len(g.toWire))
				}
				g.toHost, g.toWire = nil, nil
				rounds++
			})
			if rounds != farewells-1 {
				t.Errorf("%d rounds", rounds+1)
			}
		})
	}
}

func TestBuriedConnectionsAreAnsweredByResetsAndNeverPass(t *testing.T) {
	g := newShooter(t)
	k := flowtable.Key{Inside: g.tpl[inside].Src, Outside: g.tpl[inside].Dst, InsidePort: g.tpl[inside].SrcPort, OutsidePort: g.tpl[inside].DstPort}
	for range 2 {
		if !g.w.Bury(&Orphan{Key: k}, false, g.now) {
			t.Fatal("not remembered")
		}
	}
	g.wire(fromPeer(500, 900, ack|psh), []byte("ciphertext")...)
	g.expect("from the far end", nil, list("R s900"))
	g.host(fromHost(700, 300, ack|psh), []byte("plaintext")...)
	g.expect("from the host", list("R s300"), nil)
	g.wire(fromPeer(500, 900, rst|ack))
	g.wire(fromPeer(500, 0, 0), 1)
	g.expect("nothing to answer", nil, nil)
	g.counted(4, shm.DropClosing)
	s := hostSYN()
	s.Seq += 5
	g.host(s)
	g.state(flowtable.ActiveSyn)
}

func TestSynFromOutsideEndsABurialOnlyIfTheHostKnowsNothing(t *testing.T) {
	for name, open := range map[string]packet.Seg{"with ENO": peerSYN(), "without ENO": with(peerSYN(), synOptions, nil)} {
		bury := func(t *testing.T) *rig {
			g := newShooter(t)
			k := flowtable.Key{Inside: g.tpl[inside].Src, Outside: g.tpl[inside].Dst, InsidePort: g.tpl[inside].SrcPort, OutsidePort: g.tpl[inside].DstPort}
			g.w.Bury(&Orphan{Key: k}, false, g.now)
			g.wire(open)
			if len(g.toHost) != 1 {
				t.Fatalf("%d segments to the host", len(g.toHost))
			}
			g.toHost = nil
			return g
		}
		t.Run("host has the connection, SYN "+name, func(t *testing.T) {
			g := bury(t)
			g.host(fromHost(5000, 300, ack))
			g.expect("challenge", list("R s300"), nil)
			g.later(40 * second)
			g.host(fromHost(5000, 300, ack|psh), []byte("plaintext")...)
			g.expect("data once the SYN is forgotten", list("R s300"), nil)
			g.wire(fromPeer(500, 900, ack|psh), []byte("ciphertext")...)
			g.expect("ciphertext", nil, list("R s900"))
		})
		t.Run("host accepts, SYN "+name, func(t *testing.T) {
			g := bury(t)
			g.host(hostSynAck())
			if len(g.toWire) != 1 {
				t.Errorf("%d segments to the wire", len(g.toWire))
			}
			if g.w.graves.n != 0 {
				t.Error("the older connection is still remembered")
			}
		})
		t.Run("host has nobody there, SYN "+name, func(t *testing.T) {
			g := bury(t)
			g.host(packet.Seg{Ack: peerISN + 1, Flags: rst | ack})
			g.expect("RST", nil, list("RA s=zero a1"))
			g.state(flowtable.Free)
		})
	}
}

func TestTupleIsUsedAgain(t *testing.T) {
	other := func(s packet.Seg) packet.Seg {
		s.Seq += 1 << 20
		return s
	}
	for _, c := range []struct {
		name       string
		at         stage
		s          flowtable.Side
		host, wire []string // challenges
	}{
		{"host, its SYN sent", activeStages[0], inside, list("A s-4999999 a1"), nil},
		{"host, Init1 sent", activeStages[2], inside, list("A s1 a1"), nil},
		{"host, encrypted", activeStages[5], inside, list("A s1 a1"), nil},
		{"host, encrypted as passive", passiveStages[4], inside, list("A s1 a1"), nil},
		{"far end, host has not answered", passiveStages[0], outside, nil, nil},
		{"far end, host has answered", passiveStages[1], outside, nil, list("A s1 a1 eno")},
		{"far end, encrypted", passiveStages[4], outside, nil, list("A s81 a81")},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := c.at.at(t)
			gen := g.state(c.at.state).Gen
			seg := other(hostSYN())
			if c.s == inside {
				g.host(seg)
			} else {
				seg = other(peerSYN())
				g.wire(seg)
			}
			g.expect("SYN", c.host, c.wire)
			if r := g.state(c.at.state); r.Gen != gen {
				t.Error("another connection has begun")
			}
			switch {
			case c.s == inside:
				g.host(fromHost(1, 0, rst)) // the host has it no more
				g.host(seg)
				g.state(flowtable.ActiveSyn)
			case c.at.state == flowtable.PassiveSyn:
				g.later(2 * second)
				g.wire(seg)
				g.state(flowtable.PassiveSyn)
			default:
				g.wire(fromPeer(1+uint32(map[bool]int{true: 80}[c.at.state == flowtable.Encrypted]), 0, rst))
				g.wire(seg)
				g.state(flowtable.PassiveSyn)
			}
			if r := g.record(0); r.Gen == gen {
				t.Error("no other connection has begun")
			}
		})
	}
	t.Run("after a RST", func(t *testing.T) {
		g := passiveStages[4].at(t)
		g.wire(fromPeer(81, 81, rst|ack))
		g.wire(other(peerSYN()))
		g.state(flowtable.PassiveSyn)
	})
	t.Run("an old duplicate of the SYN after a RST", func(t *testing.T) {
		g := passiveStages[4].at(t)
		g.wire(fromPeer(81, 81, rst|ack))
		g.wire(peerSYN())
		g.state(flowtable.Closing)
	})
}

func TestForgedSynDoesNotDisturbAPlainConnection(t *testing.T) {
	forged := peerSYN()
	forged.Seq += 1 << 24
	t.Run("with a record", func(t *testing.T) {
		g := inState(flowtable.ActiveSyn).at(t)
		g.wire(with(peerSynAck(), synOptions, nil))
		g.wire(forged)
		g.toHost = nil
		g.plainData()
	})
	t.Run("without one", func(t *testing.T) {
		g := newShooter(t)
		g.wire(forged)
		g.toHost = nil
		g.plainData()
	})
}

func TestHalfOpenConnectionIsReplaced(t *testing.T) {
	g := inState(flowtable.ActiveSyn).at(t)
	challenge := g.raw(g.tpl[outside], fromPeer(777, 12345, ack), nil)
	g.feed(g.out, challenge)
	answer := g.raw(g.tpl[inside], fromHost(12345, 0, rst), nil)
	g.feed(g.in, answer)
	g.untouched("challenge", [][]byte{challenge}, [][]byte{answer})
	g.host(hostSYN())
	g.wire(peerSynAck())
	g.state(flowtable.ActiveInit)
}
