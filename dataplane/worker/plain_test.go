package worker

import (
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// The numbers of a plain connection that openInClear has opened and plainData has used: what each end sends next.
const (
	hostNext = 9
	peerNext = 7
)

// openInClear opens flow 0 from inside, in the clear because the far end has no ENO, and lets data pass both ways.
func (g *rig) openInClear() {
	g.t.Helper()
	g.host(hostSYN())
	g.wire(with(peerSynAck(), synOptions, nil))
	g.host(fromHost(1, 1, ack))
	g.toHost, g.toWire = nil, nil
	g.plainData()
	g.host(fromHost(hostNext, peerNext, ack))
	g.toHost, g.toWire = nil, nil
}

// needsItsRecord are the ways in which a connection in the clear comes to need its record.
var needsItsRecord = []struct {
	name string
	open func(g *rig)
}{
	{"by a rule for one direction", func(g *rig) { g.ctl.oneWay = true; g.openInClear() }},
	{"since a reload", func(g *rig) { g.openInClear(); g.ctl.policy = flowtable.Require }},
	{"off by a rule for one direction", func(g *rig) {
		g.ctl.oneWay, g.ctl.policy = true, flowtable.Disabled
		g.openInClear()
	}},
}

// goesOn demands that the connection of openInClear is remembered and passes data.
func (g *rig) goesOn() {
	g.t.Helper()
	g.state(flowtable.Plain)
	g.toHost, g.toWire = nil, nil
	a := g.raw(g.tpl[inside], fromHost(hostNext, peerNext, ack|psh), []byte("more"))
	g.feed(g.in, a)
	g.untouched("data", nil, [][]byte{a})
}

// othersISN is a SYN of the same tuple for another connection.
func othersISN(syn packet.Seg) packet.Seg {
	syn.Seq += 1 << 24
	return syn
}

func TestPlainConnectionEndsByWhatItsEndsBelieveAndByNothingElse(t *testing.T) {
	t.Run("forged", forgedEnds)
	t.Run("true", trueEnds)
	t.Run("another connection", synBehindReset)
}

// forgedEnds demands that nothing that somebody off the path makes up ends a connection.
func forgedEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		forged []packet.Seg // from the far end's side
	}{
		{"RST behind what is expected", []packet.Seg{fromPeer(peerNext+1, 0, rst)}},
		{"RST in front of it", []packet.Seg{fromPeer(peerNext-1, 0, rst)}},
		{"RST far away", []packet.Seg{fromPeer(1<<30, 0, rst|ack)}},
		{"RST and SYN", []packet.Seg{fromPeer(5000, 0, rst), othersISN(with(peerSYN(), synOptions, nil))}},
		{"data, and RST behind it", []packet.Seg{fromPeer(5000, 77, ack|psh), fromPeer(5000, 0, rst)}},
		{"data in front, and RST behind it", []packet.Seg{fromPeer(peerNext+1, hostNext, ack), fromPeer(peerNext+1, 0, rst)}},
		{"FIN of both numbers", []packet.Seg{fromPeer(5000, 77, ack|fin), fromPeer(5001, 0, rst)}},
	} {
		for _, need := range needsItsRecord {
			t.Run(c.name+", "+need.name, func(t *testing.T) {
				g := newShooter(t)
				need.open(g)
				for _, seg := range c.forged {
					raw := g.raw(g.tpl[outside], seg, nil)
					g.feed(g.out, raw)
					g.untouched("forged", [][]byte{raw}, nil)
				}
				g.later(2 * plainLinger)
				g.goesOn()
			})
		}
	}
}

// trueEnds demands that one which is over is forgotten soon.
func trueEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(g *rig)
	}{
		{"RST of the far end", func(g *rig) { g.wire(fromPeer(peerNext, 0, rst)) }},
		{"RST of the host", func(g *rig) { g.host(fromHost(hostNext, peerNext, rst|ack)) }},
		{"RST behind data on its way", func(g *rig) {
			g.wire(fromPeer(peerNext, hostNext, ack|psh), []byte("error")...)
			g.wire(fromPeer(peerNext+5, 0, rst))
		}},
		{"RST that answers a challenge", func(g *rig) {
			g.wire(fromPeer(peerNext+1000, hostNext, ack|psh), []byte("behind a hole")...)
			g.host(fromHost(hostNext, peerNext, ack))
			g.wire(fromPeer(peerNext, 0, rst))
		}},
		{"FINs", func(g *rig) {
			g.host(fromHost(hostNext, peerNext, ack|fin))
			g.wire(fromPeer(peerNext, hostNext+1, ack|fin))
		}},
		{"FIN behind a hole that is filled later", func(g *rig) {
			g.host(fromHost(hostNext, peerNext, ack|fin))
			g.wire(fromPeer(peerNext+4, hostNext+1, ack|fin), []byte("ends")...)
			g.wire(fromPeer(peerNext, hostNext+1, ack|psh), []byte("more")...)
			g.host(fromHost(hostNext+1, peerNext+9, ack))
		}},
		{"FIN after a forged one", func(g *rig) {
			g.wire(fromPeer(5000, 77, ack|fin))
			g.host(fromHost(hostNext, peerNext, ack|fin))
			g.wire(fromPeer(peerNext, hostNext+1, ack|fin))
		}},
	} {
		for _, need := range needsItsRecord {
			t.Run(c.name+", "+need.name, func(t *testing.T) {
				g := newShooter(t)
				need.open(g)
				c.end(g)
				g.state(flowtable.Plain)
				g.later(2 * plainLinger)
				g.state(flowtable.Free)
			})
		}
	}
}

// synBehindReset demands that another connection begins behind a true reset.
func synBehindReset(t *testing.T) {
	g := newShooter(t)
	g.openInClear()
	g.host(fromHost(hostNext, 0, rst))
	g.host(othersISN(hostSYN()))
	g.state(flowtable.ActiveSyn)
}

func TestForgedFINDoesNotEndAPlainConnectionThatItsHostHasClosed(t *testing.T) {
	g := newShooter(t)
	needsItsRecord[1].open(g)
	g.host(fromHost(hostNext, peerNext, ack|fin))
	g.wire(fromPeer(5000, hostNext+1, ack|fin))
	g.later(2 * plainLinger)
	g.state(flowtable.Plain)
	raw := g.raw(g.tpl[outside], fromPeer(peerNext, hostNext+1, ack|psh), []byte("rest"))
	g.toHost, g.toWire = nil, nil
	g.feed(g.out, raw)
	g.untouched("the rest", [][]byte{raw}, nil)
}

func TestPlainConnectionThatNeedsItsRecordIsRememberedAsLongAsAnEncryptedOne(t *testing.T) {
	for _, need := range needsItsRecord {
		t.Run(need.name, func(t *testing.T) {
			g := newShooter(t)
			g.w.params.PlainIdle, g.w.params.FlowIdle = 30*second, 300*second
			need.open(g)
			g.later(200 * second)
			g.goesOn()
			g.later(310 * second)
			g.state(flowtable.Free)
		})
	}
	for name, open := range map[string]func(g *rig){
		"not one that passes without it": (*rig).openInClear,
		"not one that was met in the middle": func(g *rig) {
			g.host(midSegment(), midData...)
			g.state(flowtable.Plain)
			g.ctl.policy = flowtable.Require
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newShooter(t)
			g.w.params.PlainIdle = 30 * second
			open(g)
			g.later(40 * second)
			g.state(flowtable.Free)
		})
	}
}

// openInClearOf opens flow n to a peer of its own in the clear, from outside.
func (g *rig) openInClearOf(n int, peer [2]byte) {
	g.t.Helper()
	in, out := g.tupleOf(n, peer)
	g.feed(g.out, g.raw(out, with(peerSYN(), synOptions, nil), nil))
	g.feed(g.in, g.raw(in, hostSynAck(), nil))
	g.feed(g.out, g.raw(out, fromPeer(1, 1, ack), nil))
}

// recordOf is the record of a flow of openInClearOf, nil for none.
func (g *rig) recordOf(n int, peer [2]byte) *flowtable.Record {
	in, _ := g.tupleOf(n, peer)
	k := flowtable.Key{Inside: in.Src, Outside: in.Dst, InsidePort: in.SrcPort, OutsidePort: in.DstPort}
	return g.w.table.Record(g.w.table.Lookup(&k, g.w.table.Hash(&k)))
}

func TestPlainConnectionThatNeedsItsRecordGivesItsPlaceToNoStranger(t *testing.T) {
	const places = 4
	quiet, greedy, other := [2]byte{1, 1}, [2]byte{9, 9}, [2]byte{8, 8}
	fill := func(t *testing.T) *rig {
		g := newRig(t, places, 256, false)
		g.keep = true
		g.openInClearOf(1, quiet)
		for n := 2; n <= places; n++ {
			g.openInClearOf(n, greedy)
		}
		g.ctl.policy = flowtable.Require
		g.toHost, g.toWire = nil, nil
		return g
	}
	come := func(g *rig, n int, peer [2]byte) { // one that policy lets pass, in the clear
		g.ctl.policy = flowtable.Opportunistic
		in, out := g.tupleOf(n, peer)
		g.feed(g.out, g.raw(out, with(peerSYN(), synOptions, nil), nil))
		g.feed(g.in, g.raw(in, hostSynAck(), nil))
		g.ctl.policy = flowtable.Require
		g.toHost, g.toWire = nil, nil
		g.feed(g.out, g.raw(out, fromPeer(1, 1, ack), nil))
	}
	t.Run("while it is young", func(t *testing.T) {
		g := fill(t)
		come(g, 10, other)
		g.counted(0, shm.FlowsEvicted)
		if g.recordOf(1, quiet) == nil || g.recordOf(10, other) != nil {
			t.Error("a stranger has its place")
		}
		g.counted(1, shm.RefusedTableFull)
		if len(g.toHost) != 1 || len(g.toWire) != 1 {
			t.Errorf("%d segments to the host and %d to the wire, not a RST to each", len(g.toHost), len(g.toWire))
		}
	})
	t.Run("silent, while its peer holds no more", func(t *testing.T) {
		g := fill(t)
		g.later(2 * requiredIdle)
		for n := 10; n < 20; n++ {
			come(g, n, greedy)
		}
		if g.recordOf(1, quiet) == nil {
			t.Error("a peer that holds more has its place")
		}
	})
	t.Run("but who holds most pays", func(t *testing.T) {
		g := fill(t)
		g.later(2 * requiredIdle)
		come(g, 10, other)
		g.counted(1, shm.FlowsEvicted)
		if g.recordOf(1, quiet) == nil || g.recordOf(10, other) == nil {
			t.Error("it is not the greedy peer that paid")
		}
	})
	t.Run("and one that is over goes first", func(t *testing.T) {
		g := fill(t)
		_, out := g.tupleOf(3, greedy)
		g.feed(g.out, g.raw(out, fromPeer(1, 0, rst), nil))
		come(g, 10, other)
		if g.recordOf(3, greedy) != nil || g.recordOf(10, other) == nil {
			t.Error("it keeps its place")
		}
	})
}
