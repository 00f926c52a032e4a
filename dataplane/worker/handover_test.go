package worker

import (
	"slices"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/handover"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// workers returns a data plane's worth of rigs. The last one has the flows.
func workers(t *testing.T, n int) []*rig {
	t.Helper()
	pairs, circle := new(Pairs), handover.NewCircle(n)
	var gs []*rig
	for i := range n {
		g := newRig(t, 16, 256, false, func(c *Config) { c.ID, c.Pairs, c.Circle = uint16(i), pairs, circle })
		g.keep = true
		gs = append(gs, g)
	}
	return gs
}

// turnAll lets all workers work until none has anything to do.
func turnAll(gs []*rig) {
	for work := 1; work > 0; {
		work = 0
		for _, g := range gs {
			work += g.w.Poll(g.now) + g.control()
		}
	}
}

func TestErrorsThatReachAnotherWorkerAreTranslated(t *testing.T) {
	for _, n := range []int{2, 3} {
		gs := workers(t, n)
		owner := gs[n-1]
		owner.openPassive(0)
		owner.toHost, owner.toWire = nil, nil
		owner.say(0, 0, 1440)
		gs[0].feed(gs[0].out, gs[0].icmpError(outside, 3, 4, 1200, owner.toWire[0]))
		turnAll(gs)
		if len(owner.toHost) != 1 || len(gs[0].toHost) != 0 {
			t.Fatalf("%d workers: the owner sent %d, the one that got it %d", n, len(owner.toHost), len(gs[0].toHost))
		}
		if e := owner.readICMP(owner.toHost[0]); e.MTU != 1180 || e.Seq != hostISN+1 {
			t.Errorf("%d workers: %+v", n, e)
		}
		gs[0].counted(1, shm.HandoverPackets)
		for i, g := range gs {
			if mtu := g.w.paths.lookup(g.w.table, v4Path(10, 1, 0, 1)); mtu != 0 {
				t.Errorf("worker %d takes the near end for the far end", i)
			}
			if mtu := g.w.paths.lookup(g.w.table, v4Path(10, 2, 0, 1)); mtu != 1200 {
				t.Errorf("%d workers: worker %d knows of %d", n, i, mtu)
			}
		}
	}
}

func TestErrorsAboutNobodysFlowPassOnce(t *testing.T) {
	gs := workers(t, 3)
	owner := gs[2]
	owner.openPassive(0)
	for _, g := range gs {
		g.toHost, g.toWire = nil, nil
	}
	other := flowTemplate(0, true)
	other.SrcPort = 9
	raw := gs[0].icmpError(outside, 3, 3, 0, gs[0].raw(other, fromHost(1, 1, ack), nil))
	gs[1].feed(gs[1].out, raw)
	turnAll(gs)
	var passed [][]byte
	for _, g := range gs {
		passed = append(passed, g.toHost...)
	}
	if !slices.EqualFunc(passed, [][]byte{raw}, slices.Equal[[]byte]) {
		t.Errorf("%d packets passed, not the one error", len(passed))
	}
}

func TestSegmentsThatReachAnotherWorkerAreNeverPassedAsPlaintext(t *testing.T) {
	gs := workers(t, 2)
	stray, owner := gs[0], gs[1]
	owner.openPassive(0)
	owner.toHost, owner.toWire = nil, nil
	seg := packet.Seg{Seq: hostISN + 1, Ack: peerISN + 1, Win: 60000, Flags: ack | psh}
	stray.feed(stray.in, stray.raw(flowTemplate(0, true), seg, []byte("secret")))
	turnAll(gs)
	if len(stray.toWire) != 0 || len(owner.toWire) != 1 || lengths(owner.toWire)[0] != 40+6+20 {
		t.Fatalf("the worker that got it sent %x, its owner %x", stray.toWire, owner.toWire)
	}
}

func TestWhatTheNeighbourHasNoRoomForIsDroppedByName(t *testing.T) {
	gs := workers(t, 2)
	stray, owner := gs[0], gs[1]
	owner.openPassive(0)
	raw := stray.raw(flowTemplate(0, true), packet.Seg{Seq: hostISN + 1, Ack: peerISN + 1, Win: 60000, Flags: ack | psh}, []byte("x"))
	const many = 200
	for range many {
		stray.feed(stray.in, raw)
	}
	if sent, lost := stray.w.n[shm.HandoverPackets], stray.w.n[shm.DropHandover]; sent == 0 || lost == 0 || sent+lost != many || len(stray.toWire) != 0 {
		t.Errorf("%d handed over, %d dropped, %d passed", sent, lost, len(stray.toWire))
	}
	turnAll(gs)
}

func TestStrangersBetweenOtherHostsStayWhereTheyAre(t *testing.T) {
	gs := workers(t, 2)
	raw := gs[0].raw(flowTemplate(0, true), packet.Seg{Seq: 5, Ack: 6, Flags: ack}, []byte("plain"))
	gs[0].feed(gs[0].in, raw)
	gs[0].untouched("plain segment", nil, [][]byte{raw})
	gs[0].counted(0, shm.HandoverPackets)
	if k := (flowtable.Key{}); gs[0].w.elsewhere(&k) {
		t.Error("a connection of nobody is elsewhere")
	}
}
