package worker

import (
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

func TestHostThatMissedTheResetNeverSendsPlaintext(t *testing.T) {
	for _, at := range []stage{activeStages[5], passiveStages[4]} {
		t.Run(at.name, func(t *testing.T) {
			g := at.at(t)
			g.wire(fromPeer(81, 81, rst|ack)) // its translation to the host is lost
			for _, wait := range []int64{second, 20 * second, 600 * second, 3600 * second, 24 * 3600 * second} {
				g.now += wait
				g.turn()
				g.toHost, g.toWire = nil, nil
				g.host(fromHost(1, 1, ack|psh), secret...)
				if len(g.toWire) != 0 {
					t.Fatalf("%d s later: the wire got %s", wait/second, g.shot(outside, g.toWire[0]))
				}
				if len(g.toHost) != 1 || g.shot(inside, g.toHost[0]) != "R s1" {
					t.Fatalf("%d s later: %d segments to the host, not a RST", wait/second, len(g.toHost))
				}
			}
			g.bothKnow()
		})
	}
}

func TestEndsThatMayNotKnowAreAskedUntilTheyDo(t *testing.T) {
	g := activeStages[5].at(t)
	g.host(fromHost(1, 1, rst|ack))
	g.toHost, g.toWire = nil, nil
	g.later(10 * second)
	host, wire := len(g.toHost), len(g.toWire)
	if host == 0 || host > 6 || wire == 0 || wire > 6 {
		t.Fatalf("%d and %d questions in 10 s", host, wire)
	}
	if s := g.shot(inside, g.toHost[0]); s != "A s0 a1" {
		t.Errorf("the host was asked by %q", s)
	}
	// A host that has the connection acknowledges, and is reset.
	g.toHost = nil
	g.host(fromHost(1, 1, ack))
	g.expect("acknowledgement", list("R s1"), wireOf(g))
	g.bothKnow()
}

// wireOf returns what went to the wire so far, so that it is not looked at.
func wireOf(g *rig) []string {
	var all []string
	for _, raw := range g.toWire {
		all = append(all, g.shot(outside, raw))
	}
	return all
}

func TestResetFarFromTheConnectionShowsNothing(t *testing.T) {
	g := activeStages[5].at(t)
	g.wire(fromPeer(81, 81, rst|ack))
	g.later(3 * second)
	for _, seq := range []uint32{1 << 25, 1 << 31, ^uint32(1000)} {
		g.host(fromHost(seq, 0, rst))
		g.wire(fromPeer(seq, 0, rst))
	}
	if r := g.state(flowtable.Closing); r.Rare.Unaware != flowtable.Unaware {
		t.Errorf("unaware %b", r.Rare.Unaware)
	}
}

func TestForgedSynDoesNotMakeTheGatewayForgetWhatWasEncrypted(t *testing.T) {
	for name, forged := range map[string]packet.Seg{"with ENO": peerSYN(), "without": with(peerSYN(), synOptions, nil)} {
		t.Run(name, func(t *testing.T) {
			g := activeStages[5].at(t)
			g.wire(fromPeer(81, 81, rst|ack))
			g.later(3 * second)
			forged.Seq += 1 << 20
			g.wire(forged)
			for _, wait := range []int64{0, second, 40 * second} {
				g.later(wait)
				g.toHost, g.toWire = nil, nil
				g.host(fromHost(1, 1, ack|psh), secret...)
				if len(g.toWire) != 0 {
					t.Fatalf("%d s later: the wire got %s", wait/second, g.shot(outside, g.toWire[0]))
				}
			}
		})
	}
}

func TestTombsHaveAShareAndLeaveGraves(t *testing.T) {
	g := newRig(t, 4, 256, false)
	g.keep = true
	const dead = 4 * testTombs
	for n := 1; n <= dead; n++ {
		g.openPassive(n)
		g.feed(g.out, g.raw(flowTemplate(n, false), fromPeer(81, 81, rst|ack), nil))
	}
	for n := dead + 1; n <= dead+4; n++ {
		g.openPassive(n)
	}
	if n := g.w.table.Listed(flowtable.Tombs); n > testTombs {
		t.Errorf("%d tombs", n)
	}
	if n := g.w.table.Established(); n != 4 {
		t.Errorf("%d established, not 4", n)
	}
	g.counted(dead-testTombs, shm.TombsEvicted)
	g.toHost, g.toWire = nil, nil
	for n := 1; n <= dead; n++ {
		g.feed(g.in, g.raw(flowTemplate(n, true), fromHost(1, 1, ack|psh), secret))
		if len(g.toWire) != 0 {
			t.Fatalf("data of flow %d went out", n)
		}
		if len(g.toHost) != 1 {
			t.Fatalf("the host of flow %d got %d segments", n, len(g.toHost))
		}
		g.toHost = nil
	}
	g.counted(0, shm.TombsLost)
	// A host that begins another connection has no older one.
	k := flowtable.Key{}
	tpl := flowTemplate(1, true)
	k.Inside, k.Outside, k.InsidePort, k.OutsidePort = tpl.Src, tpl.Dst, tpl.SrcPort, tpl.DstPort
	if i := g.w.table.Lookup(&k, g.w.table.Hash(&k)); i == 0 && !g.w.graves.has(&k, g.w.table.Hash(&k)) {
		t.Fatal("flow 1 is neither a tomb nor in a grave")
	}
	again := hostSYN()
	again.Seq += 99999
	g.feed(g.in, g.raw(tpl, again, nil))
	if r := g.record(1); r == nil || r.State != flowtable.ActiveSyn {
		t.Error("no connection begins")
	}
	if g.w.graves.has(&k, g.w.table.Hash(&k)) {
		t.Error("the older one is still remembered")
	}
}

func TestConnectionThatEndedCleanlyNeedsNoTomb(t *testing.T) {
	g := activeStages[5].at(t)
	g.host(fromHost(1, 1, ack|fin))
	g.wire(fromPeer(81, 102, ack|fin), g.sealedFIN(80)...)
	g.host(fromHost(2, 2, ack))
	g.later(10 * second)
	g.state(flowtable.Free)
	g.counted(0, shm.TombsKept)
}

func TestMoreBurialsThanRecordsLeaveGraves(t *testing.T) {
	g := newRig(t, 4, 64, false)
	g.keep = true
	const lost = 200
	for n := range lost {
		tpl := flowTemplate(n, true)
		k := flowtable.Key{Inside: tpl.Src, Outside: tpl.Dst, InsidePort: tpl.SrcPort, OutsidePort: tpl.DstPort}
		if !g.w.Bury(&Orphan{Key: k}, false, g.now) {
			t.Fatalf("burial %d", n)
		}
	}
	for n := range lost {
		g.feed(g.in, g.raw(flowTemplate(n, true), fromHost(1, 1, ack|psh), secret))
	}
	if len(g.toWire) != 0 || len(g.toHost) != lost {
		t.Errorf("%d segments went out, %d RSTs", len(g.toWire), len(g.toHost))
	}
}
