package worker

import (
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// midSegment is a segment of a connection that the gateway has seen no SYN of.
func midSegment() packet.Seg {
	return packet.Seg{Seq: hostISN + 77, Ack: peerISN + 77, Win: 60000, Flags: ack | psh}
}

func TestConnectionMetInTheMiddleIsDecidedOnOnceAndPasses(t *testing.T) {
	g := newRig(t, 8, 256, false)
	g.keep = true
	data := g.raw(flowTemplate(0, true), midSegment(), []byte("data"))
	g.feed(g.in, data)
	r := g.record(0)
	if r == nil || r.State != flowtable.Plain || r.Flags&flowtable.FlagMet == 0 || r.Verdict != flowtable.Opportunistic || shm.Counter(r.Rare.Abort) != shm.PlainMet {
		t.Fatalf("%+v", r)
	}
	g.ctl.policy = flowtable.Require // a reload: what was decided stays
	g.feed(g.in, data)
	g.feed(g.out, g.raw(flowTemplate(0, false), midSegment(), nil))
	if len(g.toWire) != 2 || len(g.toHost) != 1 {
		t.Errorf("%d segments to the wire and %d to the host", len(g.toWire), len(g.toHost))
	}
	g.counted(1, shm.PlainMet)
	g.feed(g.in, g.raw(flowTemplate(1, true), midSegment(), nil))
	if g.record(1) != nil {
		t.Error("a connection that does not pass has a record")
	}
	g.counted(1, shm.DropUnknownFlow)
	g.later(g.w.params.PlainIdle + 5e9)
	if g.record(0) != nil {
		t.Error("a silent one is not forgotten")
	}
}

func TestSYNBeginsAnotherConnectionInThePlaceOfOneThatWasMet(t *testing.T) {
	g := newRig(t, 8, 256, false)
	g.feed(g.in, g.raw(flowTemplate(0, true), midSegment(), nil))
	g.feed(g.in, g.raw(flowTemplate(0, true), hostSYN(), nil))
	if r := g.record(0); r == nil || r.State != flowtable.ActiveSyn || r.Flags&flowtable.FlagMet != 0 {
		t.Errorf("%+v", r)
	}
}

func TestInitMessageBehindAForgottenHandshakeReachesNoHostWhoeverWasMet(t *testing.T) {
	g := newRig(t, 8, 256, false)
	g.keep = true
	g.feed(g.out, g.raw(flowTemplate(0, false), packet.Seg{Seq: 1, Ack: 2, Win: 9, Flags: ack}, nil)) // somebody makes up a connection
	g.toHost, g.toWire = nil, nil
	g.feed(g.out, g.raw(flowTemplate(0, false), packet.Seg{Seq: peerISN + 1, Ack: hostISN + 1, Win: 60000, Flags: ack, ENO: enoACK}, nil))
	g.counted(1, shm.DropStrayENO)
	if g.record(0) != nil || len(g.toHost) != 1 || len(g.toWire) != 1 {
		t.Errorf("%d segments to the host and %d to the wire", len(g.toHost), len(g.toWire))
	}
}

func TestMadeUpConnectionsTakeNoPlaceOfAnyOthers(t *testing.T) {
	g := newRig(t, 8, 256, false)
	g.openPassive(0)
	for n := 100; n < 100+testMet; n++ {
		g.feed(g.out, g.raw(flowTemplate(n, false), midSegment(), nil))
	}
	g.feed(g.out, g.raw(flowTemplate(200, false), midSegment(), nil))
	if g.record(200) != nil || g.record(100) == nil {
		t.Error("one that was heard of lately gave way")
	}
	g.counted(1, shm.MetUnlisted)
	g.now += metIdle
	g.feed(g.out, g.raw(flowTemplate(101, false), midSegment(), nil))
	g.feed(g.out, g.raw(flowTemplate(201, false), midSegment(), nil))
	if g.record(201) == nil || g.record(101) == nil || g.w.table.Listed(flowtable.Met) != testMet {
		t.Error("no silent one gave way, or one that lives did")
	}
	for n := 1; n < 8; n++ {
		g.openPassive(n)
	}
	if got := g.w.table.Listed(flowtable.Met); got != testMet {
		t.Errorf("%d of %d are left", got, testMet)
	}
}

func TestSegmentsOfConnectionsThatWereMetAllocateNothing(t *testing.T) {
	g := newRig(t, 8, 256, false)
	raw := g.raw(flowTemplate(0, true), midSegment(), nil)
	var taken uint64
	g.polled = &taken
	for range 100 {
		g.feed(g.in, raw)
	}
	if taken > runtimeMallocs {
		t.Errorf("%d objects", taken)
	}
}
