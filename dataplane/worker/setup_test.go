package worker

import (
	"fmt"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

func list(s ...string) []string { return s }

func TestActiveSetUpHoldsTheSynAckUntilKeysAreInPlace(t *testing.T) {
	g := newShooter(t)
	g.host(hostSYN())
	g.expect("SYN", nil, list("S s0 mss1460 eno23"))
	g.wire(peerSynAck())
	g.expect("SYN-ACK", nil, list("PA s1 a1 l80 eno"))
	init2 := initMessage(tcpcrypt.KindInit2)
	g.wire(fromPeer(1, 81, ack), init2[:30]...)
	g.expect("half of Init2", nil, list("A s81 a31"))
	g.wire(fromPeer(31, 81, ack|psh), init2[30:]...)
	g.expect("Init2", list("SA s0 a1 mss1440"), list("A s81 a81"))
	g.host(fromHost(1, 1, ack))
	g.expect("ACK", nil, list("A s81 a81"))
	g.host(fromHost(1, 1, ack|psh), []byte("hello")...)
	g.expect("data", nil, list("PA s81 a81 l25"))
	g.wire(fromPeer(81, 106, ack|psh), g.sealed(80, tcpcrypt.BA, "world")...)
	g.expect("answer", list("PA s1 a6 l5"), nil)
	g.state(flowtable.Encrypted)
}

func TestPassiveSetUpHoldsTheLastAckUntilKeysAreInPlace(t *testing.T) {
	g := newShooter(t)
	g.wire(peerSYN())
	g.expect("SYN", list("S s0 mss1440"), nil)
	g.host(hostSynAck())
	g.expect("SYN-ACK", nil, list("SA s0 a1 mss1460 eno0123"))
	init1 := initMessage(tcpcrypt.KindInit1)
	g.wire(withENO(fromPeer(1, 1, ack)), init1[:30]...)
	g.expect("half of Init1", nil, list("A s1 a31"))
	g.wire(fromPeer(31, 1, ack|psh), init1[30:]...)
	g.expect("Init1", list("A s1 a1"), list("A s1 a81", "PA s1 a81 l80"))
	g.wire(fromPeer(81, 81, ack|psh), g.sealed(80, tcpcrypt.AB, "hello")...)
	g.expect("data", list("PA s1 a1 l5"), nil)
	g.host(fromHost(1, 6, ack|psh), []byte("world")...)
	g.expect("answer", nil, list("PA s81 a106 l25"))
	g.state(flowtable.Encrypted)
}

func TestOwnSegmentsCarryENOUntilTheFirstNonSynSegment(t *testing.T) {
	g := inState(flowtable.ActiveInit).at(t)
	g.later(1100 * ms)
	g.expect("timer", nil, list("PA s1 a1 l80 eno"))
	g.wire(peerSynAck())
	g.expect("SYN-ACK again", nil, list("A s81 a1 eno"))
	g.wire(fromPeer(1, 1, ack))
	g.toWire = nil
	g.later(2100 * ms)
	g.expect("timer after the first non-SYN segment", nil, list("PA s1 a1 l80"))
}

func TestRetransmissionsDuringSetUp(t *testing.T) {
	init1, init2 := initMessage(tcpcrypt.KindInit1), initMessage(tcpcrypt.KindInit2)
	for _, c := range []struct {
		name       string
		in         flowtable.State
		again      func(g *rig)
		host, wire []string
		stays      flowtable.State
	}{
		{name: "host SYN", in: flowtable.ActiveSyn, again: func(g *rig) { g.host(hostSYN()) }, wire: list("S s0 mss1460 eno23"), stays: flowtable.ActiveSyn},
		{name: "host SYN, Init1 sent", in: flowtable.ActiveInit, again: func(g *rig) { g.host(hostSYN()) }, stays: flowtable.ActiveInit},
		{name: "peer SYN-ACK while held", in: flowtable.ActiveAnswer, again: func(g *rig) { g.wire(peerSynAck()) }, stays: flowtable.ActiveAnswer},
		{name: "Init2 at the control plane", in: flowtable.ActiveKeys, again: func(g *rig) { g.wire(fromPeer(1, 81, ack|psh), init2...) },
			wire: list("A s81 a81"), stays: flowtable.ActiveKeys},
		{name: "host SYN, SYN-ACK released", in: flowtable.Encrypted, again: func(g *rig) { g.host(hostSYN()) },
			host: list("SA s0 a1 mss1440"), stays: flowtable.Encrypted},
		{name: "Init2, encrypted", in: flowtable.Encrypted, again: func(g *rig) { g.wire(fromPeer(1, 81, ack|psh), init2...) },
			wire: list("A s81 a81"), stays: flowtable.Encrypted},
		{name: "peer SYN-ACK, encrypted", in: flowtable.Encrypted, again: func(g *rig) { g.wire(peerSynAck()) },
			wire: list("A s81 a81"), stays: flowtable.Encrypted},
		{name: "peer SYN", in: flowtable.PassiveSyn, again: func(g *rig) { g.wire(peerSYN()) }, host: list("S s0 mss1440"), stays: flowtable.PassiveSyn},
		{name: "peer SYN, SYN-ACK sent", in: flowtable.PassiveAck, again: func(g *rig) { g.wire(peerSYN()) }, host: list("S s0 mss1440"), stays: flowtable.PassiveAck},
		{name: "host SYN-ACK", in: flowtable.PassiveAck, again: func(g *rig) { g.host(hostSynAck()) },
			wire: list("SA s0 a1 mss1460 eno0123"), stays: flowtable.PassiveAck},
		{name: "host SYN-ACK, Init1 incomplete", in: flowtable.PassiveInit, again: func(g *rig) { g.host(hostSynAck()) }, stays: flowtable.PassiveInit},
		{name: "first half of Init1", in: flowtable.PassiveInit, again: func(g *rig) { g.wire(withENO(fromPeer(1, 1, ack)), init1[:40]...) },
			wire: list("A s1 a41"), stays: flowtable.PassiveInit},
		{name: "Init1 at the control plane", in: flowtable.PassiveKeys, again: func(g *rig) { g.wire(withENO(fromPeer(1, 1, ack)), init1...) },
			wire: list("A s1 a81"), stays: flowtable.PassiveKeys},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := inState(c.in).at(t)
			g.mute = true
			c.again(g)
			g.expect(c.name, c.host, c.wire)
			g.state(c.stays)
			g.mute = false
			g.turn()
		})
	}
	t.Run("host SYN-ACK, encrypted", func(t *testing.T) {
		g := passiveStages[len(passiveStages)-1].at(t)
		g.host(hostSynAck())
		g.expect("SYN-ACK", list("A s1 a1"), nil)
	})
}

func TestSynGoesWithoutENOAfterTheConfiguredTries(t *testing.T) {
	g := newShooter(t)
	g.host(hostSYN())
	g.later(second)
	g.host(hostSYN())
	g.expect("two SYNs", nil, list("S s0 mss1460 eno23", "S s0 mss1460 eno23"))
	plain := g.raw(g.tpl[inside], hostSYN(), nil)
	g.feed(g.in, plain)
	g.untouched("third SYN", nil, [][]byte{plain})
	g.counted(1, shm.SynWithoutENO)
	answer := g.raw(g.tpl[outside], peerSynAck(), nil)
	g.feed(g.out, answer)
	g.untouched("late SYN-ACK with ENO", [][]byte{answer}, nil)
	g.inClear()
}

// RFC 8547 section 4.6: an active opener may take ENO off a SYN that goes again, and may not put it on again. Times are those of a Linux host.
func TestSynThatWentWithoutENONeverGoesWithItAgain(t *testing.T) {
	for _, tries := range []int{1, 2, 4} {
		g := newRig(t, 16, 256, false, func(c *Config) { c.Params.ENOTries = tries })
		g.keep = true
		g.host(hostSYN())
		plain := g.raw(g.tpl[inside], hostSYN(), nil)
		for n, wait := 2, second; n <= 7; n, wait = n+1, 2*wait {
			g.toWire = nil
			g.later(wait)
			g.feed(g.in, plain)
			if n > tries {
				g.untouched(fmt.Sprintf("%d with ENO, SYN %d", tries, n), nil, [][]byte{plain})
			}
		}
	}
}
