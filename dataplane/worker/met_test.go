package worker

import (
	"bytes"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// midSegment is a segment of a connection that the gateway has seen no SYN of. Without midData it is an acknowledgement.
func midSegment() packet.Seg {
	return packet.Seg{Seq: hostISN + 77, Ack: peerISN + 77, Win: 60000, Flags: ack | psh}
}

var midData = []byte("data")

func TestConnectionMetInTheMiddleIsDecidedOnOnceAndPasses(t *testing.T) {
	g := newRig(t, 8, 256, false)
	g.keep = true
	data := g.raw(flowTemplate(0, true), midSegment(), midData)
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
	g.feed(g.in, g.raw(flowTemplate(0, true), midSegment(), midData))
	if g.record(0) == nil {
		t.Fatal("no connection was met")
	}
	g.feed(g.in, g.raw(flowTemplate(0, true), hostSYN(), nil))
	if r := g.record(0); r == nil || r.State != flowtable.ActiveSyn || r.Flags&flowtable.FlagMet != 0 {
		t.Errorf("%+v", r)
	}
}

func TestInitMessageBehindAForgottenHandshakeReachesNoHostWhoeverWasMet(t *testing.T) {
	g := newRig(t, 8, 256, false)
	g.keep = true
	g.feed(g.out, g.raw(flowTemplate(0, false), packet.Seg{Seq: 1, Ack: 2, Win: 9, Flags: ack}, midData)) // somebody makes up a connection
	if g.record(0) == nil {
		t.Fatal("no connection was met")
	}
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
		g.feed(g.out, g.raw(flowTemplate(n, false), midSegment(), midData))
	}
	g.feed(g.out, g.raw(flowTemplate(200, false), midSegment(), midData))
	if g.record(200) != nil || g.record(100) == nil {
		t.Error("one that was heard of lately gave way")
	}
	g.counted(1, shm.MetUnlisted)
	g.now += metIdle
	g.feed(g.out, g.raw(flowTemplate(101, false), midSegment(), midData))
	g.feed(g.out, g.raw(flowTemplate(201, false), midSegment(), midData))
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

// strayCases are segments of connections without a record, and whether they show one that is in the clear.
var strayCases = []struct {
	name  string
	from  flowtable.Side
	seg   packet.Seg
	data  []byte
	shown bool
}{
	{"a host's acknowledgement", inside, packet.Seg{Seq: hostISN + 77, Ack: peerISN + 77, Win: 60000, Flags: ack}, nil, false},
	{"a far end's acknowledgement", outside, packet.Seg{Seq: peerISN + 77, Ack: hostISN + 77, Win: 60000, Flags: ack}, nil, false},
	{"a FIN", inside, packet.Seg{Seq: hostISN + 77, Ack: peerISN + 77, Win: 60000, Flags: ack | fin}, nil, false},
	{"a RST", inside, packet.Seg{Seq: hostISN + 77, Flags: rst}, nil, false},
	{"no flags", outside, packet.Seg{Seq: peerISN + 77, Win: 60000}, nil, false},
	{"a host's data", inside, midSegment(), midData, true},
	{"a far end's data", outside, midSegment(), midData, true},
	{"one byte of data", outside, packet.Seg{Seq: peerISN + 77, Ack: hostISN + 77, Win: 60000, Flags: ack}, midData[:1], true},
	{"data and a FIN", inside, packet.Seg{Seq: hostISN + 77, Ack: peerISN + 77, Win: 60000, Flags: ack | fin}, midData, true},
	{"a SYN-ACK", outside, packet.Seg{Seq: peerISN, Ack: hostISN + 1, Win: 60000, Flags: syn | ack}, nil, true},
}

// feedFrom brings a packet in from a side, and returns what went on to the other one.
func (g *rig) feedFrom(s flowtable.Side, raw []byte) [][]byte {
	g.toHost, g.toWire = nil, nil
	if s == inside {
		g.feed(g.in, raw)
		return g.toWire
	}
	g.feed(g.out, raw)
	return g.toHost
}

func TestConnectionIsMetByItsFirstSegmentThatShowsOneAndOthersPassUncounted(t *testing.T) {
	for _, c := range strayCases {
		for _, verdict := range []flowtable.Policy{flowtable.Opportunistic, flowtable.Disabled} {
			t.Run(c.name+"/"+verdict.String(), func(t *testing.T) {
				g, said := notedShooter(t)
				g.ctl.policy = verdict
				raw, met := g.raw(g.tpl[c.from], c.seg, c.data), uint64(0)
				if c.shown {
					met = 1
				}
				if passed := g.feedFrom(c.from, raw); len(passed) != 1 || !bytes.Equal(passed[0], raw) {
					t.Fatalf("%d packets passed", len(passed))
				}
				if told := len(said()); g.record(0) != nil != c.shown || told != int(met) {
					t.Errorf("record %+v, told %d times", g.record(0), told)
				}
				for counter, n := range map[shm.Counter]uint64{
					shm.PlainMet: met, shm.FlowsCreated: met, shm.MetUnlisted: 0,
					shm.PassedPackets: 1, shm.PassedBytes: uint64(len(raw)), shm.ClearBytes: uint64(len(c.data)),
				} {
					g.counted(n, counter)
				}
				g.feedFrom(inside, g.raw(g.tpl[inside], midSegment(), midData))
				g.counted(1, shm.PlainMet)
			})
		}
	}
}

func TestNothingOfAnUnknownConnectionPassesUnderRequireWhateverItShows(t *testing.T) {
	for _, c := range strayCases {
		t.Run(c.name, func(t *testing.T) {
			g, said := notedShooter(t)
			g.ctl.policy = flowtable.Require
			if passed := g.feedFrom(c.from, g.raw(g.tpl[c.from], c.seg, c.data)); len(passed) != 0 || g.record(0) != nil || len(said()) != 0 {
				t.Errorf("%d packets passed; record %+v", len(passed), g.record(0))
			}
			g.counted(1, shm.DropUnknownFlow)
			g.counted(0, shm.PlainMet)
		})
	}
}

func TestEmptySegmentBeforeAReloadDecidesNothingForTheDataBehindIt(t *testing.T) {
	g := newRig(t, 8, 256, false)
	g.keep = true
	g.feedFrom(outside, g.raw(g.tpl[outside], midSegment(), nil))
	g.ctl.policy = flowtable.Require
	if passed := g.feedFrom(inside, g.raw(g.tpl[inside], midSegment(), secret)); len(passed) != 0 {
		t.Error("data passes under require")
	}
	g.counted(1, shm.DropUnknownFlow)
}

// Two gateways do not forget a connection at the same time, and the one that remembers asks until it has an answer.
func TestQuestionAboutAnEncryptedConnectionThatIsForgottenLeavesNoneInTheClear(t *testing.T) {
	for _, at := range []stage{activeStages[5], passiveStages[4]} {
		t.Run(at.name, func(t *testing.T) {
			g := at.at(t)
			g.wire(fromPeer(81, 81, rst|ack))
			g.bothKnow()
			g.toHost, g.toWire = nil, nil
			g.wire(fromPeer(80, 81, ack))
			g.expect("question", list("A s80 a81"), nil)
			g.host(packet.Seg{Seq: hostISN + 81, Flags: rst})
			g.expect("answer", nil, list("R s81"))
			g.state(flowtable.Free)
			g.counted(0, shm.PlainMet)
		})
	}
}

func TestFloodOfEmptySegmentsTakesNoPlaceOfConnectionsThatWereMet(t *testing.T) {
	g := newRig(t, 8, 256, false)
	for n := range testMet {
		g.feed(g.out, g.raw(flowTemplate(n, false), midSegment(), midData))
	}
	g.now += metIdle
	for n := range 100 {
		g.feed(g.out, g.raw(flowTemplate(100+n, false), midSegment(), nil))
	}
	for n := range testMet {
		if g.record(n) == nil {
			t.Errorf("connection %d gave way", n)
		}
	}
	g.counted(0, shm.MetUnlisted)
}

func TestSegmentsOfConnectionsWithoutASYNAllocateNothing(t *testing.T) {
	for name, data := range map[string][]byte{"data of one that was met": midData, "empty of one that was not": nil} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, 8, 256, false)
			raw := g.raw(flowTemplate(0, true), midSegment(), data)
			var taken uint64
			g.polled = &taken
			for range 100 {
				g.feed(g.in, raw)
			}
			if taken > runtimeMallocs {
				t.Errorf("%d objects", taken)
			}
		})
	}
}
