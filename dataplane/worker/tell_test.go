package worker

import (
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"linecrypt/ctrlplane/outcome"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// notedShooter is a shooter whose worker's notes are read.
func notedShooter(t *testing.T) (*rig, func() []string) {
	t.Helper()
	words := make([]uint64, (outcome.Size+7)/8)
	region, err := outcome.Attach(unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8))
	if err != nil {
		t.Fatal(err)
	}
	g := newRig(t, 16, 256, false, func(c *Config) { c.Outcomes = region })
	g.keep = true
	d := outcome.NewReader(region)
	return g, func() (said []string) {
		notes, lost := d.Read()
		for _, n := range notes {
			said = append(said, fmt.Sprint(n.Kind, " ", shm.Counter(n.Why), " ", n.Key.InsidePort, " ", n.Verdict, " ", n.Active))
		}
		if lost > 0 {
			said = append(said, fmt.Sprint(lost, " lost"))
		}
		return said
	}
}

func wantSaid(t *testing.T, step string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %q, want %q", step, got, want)
	}
}

func TestConnectionInTheClearIsToldWhenItBeginsAndWhenItIsOver(t *testing.T) {
	g, said := notedShooter(t)
	g.host(hostSYN())
	wantSaid(t, "opening", said())
	g.wire(with(peerSynAck(), synOptions, nil))
	port := g.record(0).Key.InsidePort
	wantSaid(t, "open", said(), fmt.Sprintf("plain plain_no_eno_in_syn_ack %d opportunistic true", port))
	g.host(fromHost(1, 1, ack))
	g.toHost, g.toWire = nil, nil
	g.plainData()
	g.host(fromHost(9, 7, ack|fin))
	wantSaid(t, "half closed", said())
	g.wire(fromPeer(7, 10, ack|fin))
	wantSaid(t, "closed", said(), fmt.Sprintf("over plain_no_eno_in_syn_ack %d opportunistic true", port))
	g.later(plainLinger + 5*second)
	g.state(flowtable.Free)
	wantSaid(t, "forgotten", said())
}

func TestConnectionMetInTheMiddleIsToldUntilItIsForgotten(t *testing.T) {
	g, said := notedShooter(t)
	g.host(midSegment(), midData...)
	port := g.record(0).Key.InsidePort
	wantSaid(t, "met", said(), fmt.Sprintf("plain plain_met %d opportunistic true", port))
	g.later(g.w.params.PlainIdle + 5*second)
	wantSaid(t, "forgotten", said(), fmt.Sprintf("over plain_met %d opportunistic true", port))
}

func TestRefusedConnectionIsToldWithTheReason(t *testing.T) {
	g, said := notedShooter(t)
	g.ctl.policy = flowtable.Require
	g.host(hostSYN())
	port := g.record(0).Key.InsidePort
	g.wire(with(peerSynAck(), synOptions, nil))
	wantSaid(t, "no ENO in the SYN-ACK", said(), fmt.Sprintf("refused refused_no_eno_in_syn_ack %d require true", port))
	g.wire(with(peerSYN(), synOptions, nil))
	wantSaid(t, "no ENO in the SYN", said(), fmt.Sprintf("refused refused_no_eno_in_syn %d require false", port))
}
