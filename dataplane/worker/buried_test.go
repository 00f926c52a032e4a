package worker

import (
	"slices"
	"strings"
	"testing"
	"unsafe"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// killed is the orphan of what a rig's data plane does at a stage.
func killed(t *testing.T, at stage, more func(g *rig)) *Orphan {
	t.Helper()
	g := at.at(t)
	if more != nil {
		more(g)
	}
	o, ok := OrphanOf(g.state(at.state))
	if !ok {
		t.Fatal("not an orphan")
	}
	return &o
}

func TestEndsOfWhatADeadDataPlaneLeftAreResetAtOnce(t *testing.T) {
	data := func(g *rig) {
		g.host(fromHost(1, 1, ack|psh), []byte("request")...)
		g.wire(fromPeer(81, 81+27, ack|psh), g.sealed(80, tcpcrypt.BA, "answer")...)
	}
	for _, c := range []struct {
		name         string
		orphan       *Orphan
		host, toWire []string
	}{
		{"nothing sent", killed(t, activeStages[5], nil), list("RA s1 a1"), list("RA s81 a81")},
		{"passive", killed(t, passiveStages[4], nil), list("RA s1 a1"), list("RA s81 a81")},
		{"an answer is not acknowledged", killed(t, activeStages[5], data), list("RA s7 a8", "RA s1 a8"), list("RA s108 a81")},
		{"Init1 sent", killed(t, activeStages[2], nil), list("RA s1 a1"), list("RA s81 a1", "RA s1 a1")},
		{"SYN-ACK with ENO sent", killed(t, passiveStages[1], nil), list("RA s1 a1"), list("RA s1 a1")},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newShooter(t)
			if !g.w.Bury(c.orphan, true, g.now) {
				t.Fatal("not remembered")
			}
			g.turn()
			g.expect("at once", c.host, c.toWire)
			g.later(500 * ms)
			g.expect("soon after", nil, nil)
			for round := 1; round < orphanRounds; round++ {
				g.later(int64(second) << (round - 1))
				g.expect("again", c.host, c.toWire)
			}
			g.later(100 * second)
			for _, raw := range g.toHost {
				if s := g.shot(inside, raw); !strings.HasPrefix(s, "A s") {
					t.Errorf("in the end the host gets %q, which asks nothing", s)
				}
			}
			g.counted(uint64(orphanRounds*(len(c.host)+len(c.toWire))), shm.OrphanResets)
		})
	}
}

func TestChallengeOfAnOrphansEndIsAnsweredWithTheNumberItNames(t *testing.T) {
	g := newShooter(t)
	g.w.Bury(killed(t, activeStages[5], nil), true, g.now)
	g.turn()
	g.toHost, g.toWire = nil, nil
	g.host(fromHost(50, 44, ack))
	g.expect("challenge of the host", list("R s44"), nil)
	g.wire(fromPeer(90, 133, ack))
	g.expect("challenge of the far end", nil, list("R s133"))
}

func TestConnectionThatTakesAnOrphansPlaceIsLeftAlone(t *testing.T) {
	g := newShooter(t)
	g.w.Bury(killed(t, activeStages[5], nil), true, g.now)
	g.turn()
	s := hostSYN()
	s.Seq += 1 << 20
	g.host(s)
	g.toHost, g.toWire = nil, nil
	g.later(900 * ms)
	if got := g.w.n[shm.OrphanResets]; got != 2 {
		t.Errorf("%d RSTs", got)
	}
}

func TestManyOrphansAreResetABurstAtATime(t *testing.T) {
	g := newRig(t, 1024, 2048, false)
	o := killed(t, activeStages[5], nil)
	for n := range 1000 {
		tpl := flowTemplate(n, true)
		o.Key.InsidePort = tpl.SrcPort
		template(&o.ToWire).SrcPort, template(&o.ToHost).DstPort = tpl.SrcPort, tpl.SrcPort
		g.w.Bury(o, true, g.now)
	}
	for range 3 {
		before := g.w.n[shm.OrphanResets]
		g.w.Poll(g.now)
		if got := g.w.n[shm.OrphanResets] - before; got != 2*orphanBurst {
			t.Errorf("%d RSTs in a poll", got)
		}
		if g.w.Poll(g.now); g.w.n[shm.OrphanResets]-before != 2*orphanBurst {
			t.Error("the next burst follows without a pause")
		}
		g.now += orphanPause
	}
}

func TestForgedAnswersOfTheHostDoNotEndABurial(t *testing.T) {
	for _, seg := range []packet.Seg{fromHost(1, 1, rst), fromHost(1, 5, rst|ack), fromHost(1, 5, syn|ack), {Flags: rst}} {
		g := newShooter(t)
		g.w.Bury(killed(t, activeStages[5], nil), false, g.now)
		g.wire(peerSYN()) // what an answer would be about
		g.toHost, g.toWire = nil, nil
		seg.Ack += 3
		g.host(seg)
		g.state(flowtable.Closing)
		if len(g.toWire) != 0 {
			t.Errorf("passed: %v", g.shots(outside, g.toWire))
		}
	}
}

func TestHeadersOfAnOrphanAreItsOwnOrNone(t *testing.T) {
	whole := killed(t, activeStages[5], nil)
	for name, edit := range map[string]func(o *Orphan){
		"no headers for the host": func(o *Orphan) { o.ToHost = flowtable.Template{} },
		"no headers for the wire": func(o *Orphan) { o.ToWire = flowtable.Template{} },
		"another's headers":       func(o *Orphan) { template(&o.ToHost).DstPort++ },
		"damaged length":          func(o *Orphan) { template(&o.ToHost).L2Len = 200 },
	} {
		o := *whole
		edit(&o)
		g := newShooter(t)
		g.w.Bury(&o, true, g.now)
		g.turn()
		g.expect(name, list("RA s1 a1"), list("RA s81 a81"))
	}
	o := *whole
	o.ToHost, o.ToWire = flowtable.Template{}, flowtable.Template{}
	g := newShooter(t)
	g.w.Bury(&o, true, g.now)
	g.turn()
	g.expect("no headers at all", nil, nil)
}

func FuzzOrphansOfADamagedTable(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint8(flowtable.Encrypted))
	f.Add(slices.Repeat([]byte{14, 4, 0, 255}, 300), uint8(flowtable.Closing))
	f.Fuzz(func(t *testing.T, b []byte, state uint8) {
		var r flowtable.Record
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&r)), flowtable.RecordSize), b)
		r.State = flowtable.State(state)
		o, ok := OrphanOf(&r)
		if !ok {
			return
		}
		g := newRig(t, 4, 64, false)
		g.w.Bury(&o, true, g.now)
		g.later(2 * second)
	})
}
