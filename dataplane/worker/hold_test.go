package worker

import (
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// held is a rig whose control plane wants far ends authenticated.
func held(t *testing.T) *rig {
	g := newShooter(t)
	g.change = func(_ *shm.Request, rep *shm.Reply) { rep.Hold = rep.Kind == shm.Keys }
	return g
}

// heldActive and heldPassive are at the place where only the word that the far end is authenticated is missing.
func heldActive(t *testing.T) *rig {
	g := held(t)
	g.host(hostSYN())
	g.wire(peerSynAck())
	g.toWire = nil
	g.wire(fromPeer(1, 81, ack|psh), initMessage(tcpcrypt.KindInit2)...)
	g.expect("Init2", nil, list("A s81 a81"))
	return g
}

func heldPassive(t *testing.T) *rig {
	g := held(t)
	g.wire(peerSYN())
	g.host(hostSynAck())
	g.toHost, g.toWire = nil, nil
	g.wire(withENO(fromPeer(1, 1, ack)), initMessage(tcpcrypt.KindInit1)...)
	g.expect("Init1", nil, list("A s1 a81", "PA s1 a81 l80"))
	return g
}

func TestHostThatOpensGetsItsSynAckOnlyWhenTheFarEndIsAuthenticated(t *testing.T) {
	g := heldActive(t)
	g.host(hostSYN())
	g.expect("host's SYN again", nil, nil)
	g.wire(fromPeer(1, 81, ack|psh), initMessage(tcpcrypt.KindInit2)...)
	g.expect("Init2 again", nil, list("A s81 a81"))
	if r := g.state(flowtable.ActiveKeys); r.Flags&flowtable.FlagHeld == 0 || r.Local.Common {
		t.Errorf("flags %#x, common %v", r.Flags, r.Local.Common)
	}
	g.counted(1, shm.HandshakesHeld)
	g.counted(0, shm.HandshakesDone)
	g.give(g.orderAbout(shm.Confirm, shm.ReasonNone))
	g.expect("confirmation", list("SA s0 a1 mss1440"), nil)
	g.host(fromHost(1, 1, ack|psh), []byte("hello")...)
	g.expect("data", nil, list("PA s81 a81 l25"))
	if r := g.state(flowtable.Encrypted); r.Flags&flowtable.FlagHeld != 0 {
		t.Error("still held")
	}
	g.counted(1, shm.HandshakesDone)
	g.give(g.orderAbout(shm.Confirm, shm.ReasonNone))
	g.expect("confirmation again", nil, nil)
	g.counted(1, shm.OrdersRefused)
}

func TestHostThatAcceptsGetsItsLastAckAndDataOnlyWhenTheFarEndIsAuthenticated(t *testing.T) {
	g := heldPassive(t)
	g.host(hostSynAck())
	g.expect("host's SYN-ACK again", nil, nil)
	// The far end may go on: what it sends is kept, and nothing of it is opened.
	g.wire(fromPeer(81, 81, ack|psh), g.sealed(80, tcpcrypt.AB, "hello")...)
	if len(g.toHost) != 0 {
		t.Fatalf("the host got %q", g.shot(inside, g.toHost[0]))
	}
	g.counted(0, shm.OpenedFrames)
	g.toWire = nil
	if r := g.state(flowtable.PassiveKeys); r.Local.HsBlock != 0 {
		t.Error("a connection that waits keeps a block")
	}
	g.give(g.orderAbout(shm.Confirm, shm.ReasonNone))
	if len(g.toHost) != 2 || g.shot(inside, g.toHost[0]) != "A s1 a1" || g.shot(inside, g.toHost[1])[:2] != "PA" {
		t.Fatalf("the host got %d segments", len(g.toHost))
	}
	g.state(flowtable.Encrypted)
	g.counted(1, shm.OpenedFrames)
}

func TestNothingOfWhatAFarEndSendsThatIsNotAuthenticatedReachesTheHost(t *testing.T) {
	for name, make := range map[string]func(*testing.T) *rig{"active": heldActive, "passive": heldPassive} {
		t.Run(name, func(t *testing.T) {
			g := make(t)
			dir := tcpcrypt.AB
			if name == "active" {
				dir = tcpcrypt.BA
			}
			at := uint32(81)
			for range 40 {
				frame := g.sealed(uint64(at-1), dir, "from the middle")
				g.wire(fromPeer(at, 81, ack|psh), frame...)
				at += uint32(len(frame))
			}
			g.wire(fromPeer(at, 81, ack|fin))
			g.wire(fromPeer(81, 81, ack))
			g.later(2 * second)
			for _, raw := range g.toHost {
				t.Errorf("the host got %q", g.shot(inside, raw))
			}
			g.counted(0, shm.OpenedFrames)
		})
	}
}

func TestConnectionThatNobodyAuthenticatesIsResetInTheEnd(t *testing.T) {
	for name, make := range map[string]func(*testing.T) *rig{"active": heldActive, "passive": heldPassive} {
		t.Run(name, func(t *testing.T) {
			g := make(t)
			g.later(9 * second)
			if len(g.toHost) != 0 {
				t.Fatalf("the host got %q", g.shot(inside, g.toHost[0]))
			}
			g.toWire = nil
			g.later(2 * second)
			g.state(flowtable.Closing)
			g.counted(1, shm.AbortUnauthenticated)
			if len(g.toHost) == 0 || g.shot(inside, g.toHost[0])[0] != 'R' || len(g.toWire) == 0 {
				t.Errorf("%d segments inside, %d outside", len(g.toHost), len(g.toWire))
			}
			if len(g.closed) != 1 || g.closed[0] != shm.ReasonUnauthenticated {
				t.Errorf("the control plane was told %v", g.closed)
			}
		})
	}
}

func TestKillEndsAConnectionThatIsHeld(t *testing.T) {
	for name, make := range map[string]func(*testing.T) *rig{"active": heldActive, "passive": heldPassive} {
		t.Run(name, func(t *testing.T) {
			g := make(t)
			g.give(g.orderAbout(shm.Rekey, shm.ReasonNone))
			g.counted(1, shm.OrdersRefused)
			g.give(g.orderAbout(shm.Kill, shm.ReasonMismatch))
			g.state(flowtable.Closing)
			g.counted(1, shm.AbortMismatch)
			if len(g.toHost) != 1 || g.shot(inside, g.toHost[0])[0] != 'R' || len(g.toWire) == 0 {
				t.Errorf("%d segments inside, %d outside", len(g.toHost), len(g.toWire))
			}
			g.give(g.orderAbout(shm.Kill, shm.ReasonMismatch))
			g.counted(1, shm.AbortMismatch)
		})
	}
}

func TestEndsMayResetAConnectionThatIsHeld(t *testing.T) {
	t.Run("host", func(t *testing.T) {
		g := heldActive(t)
		g.host(fromHost(1, 0, rst))
		g.counted(1, shm.AbortHostReset)
	})
	t.Run("far end", func(t *testing.T) {
		g := heldPassive(t)
		g.wire(fromPeer(81, 0, rst))
		g.counted(1, shm.AbortPeerReset)
		if len(g.closed) != 1 {
			t.Errorf("the control plane was told %v", g.closed)
		}
	})
}
