package worker

import (
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// openNext brings in the host's SYN of another connection to the same far end, and returns what went to the wire.
func (g *rig) openNext(n int) string {
	g.t.Helper()
	g.turn() // what the passing of time brought
	g.toHost, g.toWire = nil, nil
	g.feed(g.in, g.raw(flowTemplate(n, true), hostSYN(), nil))
	if len(g.toWire) != 1 {
		g.t.Fatalf("%d segments", len(g.toWire))
	}
	return g.shot(outside, g.toWire[0])
}

const (
	withOption    = "S s0 mss1460 eno23"
	withoutOption = "S s0 mss1460"
)

func TestPathsThatHateENOAreRemembered(t *testing.T) {
	noENO := with(peerSynAck(), synOptions, nil)
	for name, show := range map[string]func(g *rig){
		"SYNs unanswered": func(g *rig) {
			g.host(hostSYN())
			g.host(hostSYN())
			g.host(hostSYN())
			g.wire(noENO)
		},
		"SYNs unanswered, and a SYN of the far end's that lost its ENO": func(g *rig) {
			g.host(hostSYN())
			g.wire(with(peerSYN(), synOptions, nil))
			g.host(hostSYN())
			g.host(hostSYN())
			g.wire(noENO)
		},
		"SYN reset": func(g *rig) {
			g.host(hostSYN())
			g.toWire = nil
			g.wire(packet.Seg{Ack: hostISN + 1, Flags: rst | ack})
			g.expect("RST", nil, list(withoutOption))
			g.wire(noENO)
		},
		"SYN refused by an ICMP error": func(g *rig) {
			g.host(hostSYN())
			about := g.toWire[0]
			g.toWire = nil
			g.feed(g.out, g.icmpError(outside, 3, 3, 0, about))
			g.expect("the error", nil, list(withoutOption))
			g.wire(noENO)
		},
		"ACK reset": func(g *rig) {
			activeStages[2].reach(g)
			g.wire(fromPeer(1, 0, rst))
		},
		"ACK unanswered": func(g *rig) {
			activeStages[2].reach(g)
			g.later(31 * second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newShooter(t)
			show(g)
			g.counted(1, shm.HatesRemembered)
			g.counted(1, shm.HatesNow)
			if s := g.openNext(2); s != withoutOption {
				t.Errorf("the next SYN goes as %q", s)
			}
			g.counted(1, shm.PlainPathHatesENO)
			g.ctl.policy = flowtable.Require
			if s := g.openNext(3); s != withOption {
				t.Errorf("under require the next SYN goes as %q", s)
			}
			g.ctl.policy = flowtable.Opportunistic
			// Another far end does not pay.
			in, _ := g.tupleOf(4, [2]byte{77, 1})
			g.toWire = nil
			g.feed(g.in, g.raw(in, hostSYN(), nil))
			if s := g.shot(outside, g.toWire[0]); s != withOption {
				t.Errorf("a SYN to another far end goes as %q", s)
			}
			// After a while one connection tries again.
			g.now += hateTime
			if a, b := g.openNext(5), g.openNext(6); a != withOption || b != withoutOption {
				t.Errorf("ten minutes later SYNs go as %q and %q", a, b)
			}
			g.feed(g.out, g.raw(flowTemplate(5, false), peerSynAck(), nil))
			g.counted(1, shm.HatesForgotten)
			if s := g.openNext(7); s != withOption {
				t.Errorf("once ENO was taken SYNs go as %q", s)
			}
		})
	}
}

func TestSilenceIsNoProofWhereThereAreEncryptedConnections(t *testing.T) {
	g := newShooter(t)
	activeStages[5].reach(g)
	g.toWire = nil
	for n := range 5 {
		g.feed(g.in, g.raw(flowTemplate(1, true), hostSYN(), nil))
		if eno := g.shot(outside, g.toWire[n]) == withOption; eno != (n < 4) {
			t.Errorf("SYN %d goes with ENO: %v", n, eno)
		}
	}
	g.feed(g.out, g.raw(flowTemplate(1, false), with(peerSynAck(), synOptions, nil), nil))
	g.counted(1, shm.PlainSynUnanswered)
	g.counted(1, shm.HatesDoubted)
	g.counted(0, shm.HatesRemembered)
	if s := g.openNext(2); s != withOption {
		t.Errorf("the next SYN goes as %q", s)
	}
}

func TestAFarEndThatIsNotThereIsNotRemembered(t *testing.T) {
	for name, show := range map[string]func(g *rig){
		"nobody there": func(g *rig) {
			for range 5 {
				g.host(hostSYN())
			}
			g.later(40 * second)
		},
		"a closed port": func(g *rig) {
			g.host(hostSYN())
			for range 2 {
				g.wire(packet.Seg{Ack: hostISN + 1, Flags: rst | ack})
			}
			if len(g.toHost) != 1 || g.shot(inside, g.toHost[0]) != "RA s=zero a1" {
				t.Errorf("the host got %d segments", len(g.toHost))
			}
			g.state(flowtable.Free)
		},
		"a port that is closed by an ICMP error": func(g *rig) {
			g.host(hostSYN())
			for range 2 {
				g.feed(g.out, g.icmpError(outside, 3, 3, 0, g.toWire[len(g.toWire)-1]))
			}
			if len(g.toHost) != 1 {
				t.Errorf("the host got %d packets", len(g.toHost))
			}
		},
		"a forged ICMP error": func(g *rig) {
			g.host(hostSYN())
			g.feed(g.out, g.icmpError(outside, 3, 3, 0, g.raw(g.tpl[inside], fromHost(1, 0, syn), nil)))
			if len(g.toWire) != 1 {
				t.Errorf("%d SYNs went out", len(g.toWire))
			}
		},
		"a late answer with ENO": func(g *rig) {
			for range 3 {
				g.host(hostSYN())
			}
			g.wire(peerSynAck())
		},
		"a reset that acknowledges Init1": func(g *rig) {
			activeStages[2].reach(g)
			g.wire(fromPeer(1, 81, rst|ack))
		},
		"a reset behind a non-SYN segment": func(g *rig) {
			activeStages[2].reach(g)
			g.wire(fromPeer(1, 81, ack))
			g.wire(fromPeer(1, 0, rst))
		},
		"a forged reset": func(g *rig) {
			g.host(hostSYN())
			g.wire(packet.Seg{Ack: hostISN + 2, Flags: rst | ack})
			g.wire(fromPeer(1, 0, rst))
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newShooter(t)
			show(g)
			g.counted(0, shm.HatesRemembered)
			if s := g.openNext(2); s != withOption {
				t.Errorf("the next SYN goes as %q", s)
			}
		})
	}
}

func TestAPathThatBringsTheFarEndsENOIsNotRemembered(t *testing.T) {
	ours := func(g *rig) { g.host(hostSYN()) }
	theirs := func(g *rig) { g.wire(peerSYN()) }
	reset := func(g *rig) { g.wire(packet.Seg{Ack: hostISN + 1, Flags: rst | ack}) }
	for name, c := range map[string]struct {
		steps []func(g *rig)
		why   shm.Counter
	}{
		"SYNs cross":                                  {[]func(*rig){ours, theirs, ours, ours}, shm.PlainSynUnanswered},
		"SYNs cross again and again":                  {[]func(*rig){ours, theirs, ours, theirs, ours, theirs}, shm.PlainSynUnanswered},
		"theirs comes when ours has gone without ENO": {[]func(*rig){ours, ours, ours, theirs}, shm.PlainSynUnanswered},
		"SYNs cross, and ours is reset":               {[]func(*rig){ours, theirs, reset}, shm.PlainSynReset},
	} {
		t.Run(name, func(t *testing.T) {
			g := newShooter(t)
			for _, step := range c.steps {
				step(g)
			}
			g.counted(1, c.why)
			g.wire(with(peerSynAck(), synOptions, nil))
			g.counted(0, shm.HatesRemembered)
			if s := g.openNext(2); s != withOption {
				t.Errorf("the next SYN goes as %q", s)
			}
		})
	}
}

func TestMemoryOfPathsIsBounded(t *testing.T) {
	var h hates
	var n shm.Block
	for i := range 100_000 {
		a := [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}
		h.remember(&a, int64(i), &n)
		if !h.hates(&a, int64(i)) {
			t.Fatalf("%d is not remembered", i)
		}
	}
	if h.count > hateSets*hateWays || n[shm.HatesNow] != h.count || n[shm.HatesEvicted] != 100_000-h.count {
		t.Errorf("%d entries, %d counted, %d evicted", h.count, n[shm.HatesNow], n[shm.HatesEvicted])
	}
}

func TestIPv6PathsAreRememberedBySite(t *testing.T) {
	var h hates
	var n shm.Block
	a, b, c := [16]byte{0: 0x20, 7: 1, 15: 1}, [16]byte{0: 0x20, 7: 1, 15: 2}, [16]byte{0: 0x20, 7: 2, 15: 1}
	h.remember(&a, 1, &n)
	if !h.hates(&b, 2) || h.hates(&c, 2) {
		t.Error("it is not the /64 that is remembered")
	}
}
