package stream

import (
	"math/rand/v2"
	"testing"

	"linecrypt/flowtable"
)

// shareModel is what shares is checked against: the flows, and nothing clever.
type shareModel struct {
	t     *testing.T
	s     shares
	flows []*flowtable.Record
}

func newShareModel(t *testing.T, budget, flows, prefixes int) *shareModel {
	m := &shareModel{t: t}
	m.s.init(budget)
	for i := range flows {
		r := new(flowtable.Record)
		copy(r.Key.Outside[10:], []byte{0xff, 0xff, 192, 0})
		r.Key.Outside[14], r.Key.Outside[15] = byte(i%prefixes), byte(i)
		m.flows = append(m.flows, r)
	}
	return m
}

// grow lets a flow hold as much as it may and returns how much that is.
func (m *shareModel) grow(i int) int {
	for m.s.allows(m.flows[i]) {
		m.s.take(m.flows[i])
	}
	return int(m.flows[i].Local.Held)
}

func (m *shareModel) check() {
	m.t.Helper()
	held, peers, flows, big := 0, map[flowtable.Peer]uint32{}, map[flowtable.Peer]uint32{}, 0
	for _, r := range m.flows {
		held += int(r.Local.Held)
		if r.Local.Holder != 0 {
			peers[r.Key.Peer()] += r.Local.Held
			flows[r.Key.Peer()]++
			if m.s.holders[r.Local.Holder].r != r {
				m.t.Fatal("a holder is another flow's")
			}
		} else if r.Local.Held >= minHeld {
			m.t.Fatalf("a flow with %d buffers is not ranked", r.Local.Held)
		}
		if r.Local.Held >= minHeld {
			big++
		}
	}
	if held != m.s.held {
		m.t.Fatalf("%d buffers counted, %d held", m.s.held, held)
	}
	most := uint32(0)
	for at, n := range peers {
		if got := m.s.peers[m.s.peerOf(at)].held; got > n+countEvery*flows[at] || n > got+countEvery*flows[at] {
			m.t.Fatalf("peer with %d buffers is counted %d", n, got)
		}
		most = max(most, n)
	}
	r := m.s.greediest()
	if (r == nil) != (big == 0) {
		m.t.Fatalf("greediest is %v, %d flows hold more than the minimum", r, big)
	}
	if r == nil {
		return
	}
	at := r.Key.Peer()
	if 2*(peers[at]+2*countEvery*flows[at]) < most {
		m.t.Fatalf("greediest is of a peer with %d, another has %d", peers[at], most)
	}
	for _, o := range m.flows {
		if o.Local.Holder != 0 && o.Key.Peer() == at && 2*(r.Local.Held+countEvery) < o.Local.Held {
			m.t.Fatalf("greediest has %d, another flow of the peer %d", r.Local.Held, o.Local.Held)
		}
	}
}

func TestSharesAlwaysKnowWhoHoldsMost(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m := newShareModel(t, 2000, 60, 1+rng.IntN(12))
		for range 4000 {
			r := m.flows[rng.IntN(1+rng.IntN(len(m.flows)))]
			switch {
			case rng.IntN(20) == 0:
				for n := rng.IntN(200); n > 0 && m.s.allows(r); n-- {
					m.s.take(r)
				}
			case rng.IntN(20) == 0:
				for n := rng.IntN(200); n > 0 && r.Local.Held > 0; n-- {
					m.s.give(r)
				}
			case rng.IntN(2) == 0 && m.s.allows(r):
				m.s.take(r)
			case r.Local.Held > 0:
				m.s.give(r)
			}
			if rng.IntN(50) == 0 {
				m.check()
			}
		}
		m.check()
		for _, r := range m.flows {
			for r.Local.Held > 0 {
				m.s.give(r)
			}
			m.s.delist(r)
		}
		m.check()
		if m.s.held != 0 || m.s.rank.used != 0 {
			t.Fatal("something is left of flows that hold nothing")
		}
	}
}

// Frames go in runs, and what is known of a flow is what it would be had they gone one by one.
func TestRunsAreCountedAsTheirFramesAre(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	one, run := newShareModel(t, 4000, 20, 3), newShareModel(t, 4000, 20, 3)
	one.s.flight, run.s.flight = true, true
	for range 20_000 {
		i, more := rng.IntN(len(one.flows)), uint32(1+rng.IntN(flowtable.ChunkEntries))
		a, b := one.flows[i], run.flows[i]
		if rng.IntN(2) == 0 {
			for range more {
				a.Egress.Queue.Count++
				one.s.took(a, a.Egress.Queue.Count)
				b.Egress.Queue.Count++
				run.s.took(b, b.Egress.Queue.Count)
			}
		} else if more = min(more, a.Egress.Queue.Count); more > 0 {
			for range more {
				a.Egress.Queue.Count--
				one.s.gave(a, a.Egress.Queue.Count)
			}
			b.Egress.Queue.Count -= more
			run.s.gaveRun(b, b.Egress.Queue.Count, more)
		}
		h, g := one.s.holders[a.Local.Flyer], run.s.holders[b.Local.Flyer]
		if *a != *b || one.s.held != run.s.held || h.counted != g.counted || one.s.peers[h.peer].held != run.s.peers[g.peer].held {
			t.Fatalf("%d frames are counted %+v, and in runs %+v", a.Egress.Queue.Count, h, g)
		}
	}
}

func TestSharesShrinkWithEachGreedyFlowAndOneIsLeft(t *testing.T) {
	const budget = 12000
	m := newShareModel(t, budget, 40, 40)
	for i := range m.flows {
		got := m.grow(i)
		if want := budget / (1 << min(i+1, 10)); i < 8 && (got < want-1 || got > want+1) {
			t.Errorf("flow %d holds %d, want half of what was left: %d", i, got, want)
		}
		if free := m.s.free(); i < 8 && free < budget>>(i+1)-1 {
			t.Errorf("%d are left after %d flows", free, i+1)
		}
	}
}

func TestGreedyFlowsInTurnEndWithEqualShares(t *testing.T) {
	const budget, n = 12000, 5
	m := newShareModel(t, budget, n, n)
	m.grow(0)
	for range 200 { // what is acknowledged goes, what may be held is taken
		for _, r := range m.flows {
			for k := r.Local.Held / 8; k > 0; k-- {
				m.s.give(r)
			}
		}
		for i := range m.flows {
			m.grow(i)
		}
	}
	for i, r := range m.flows {
		if got, want := int(r.Local.Held), budget/(n+1); got < want*3/4 || got > want*3/2 {
			t.Errorf("flow %d holds %d, want about %d", i, got, want)
		}
	}
	if m.s.free() < budget/(n+1)/2 {
		t.Errorf("%d are left", m.s.free())
	}
}

func TestFlowsOfOnePeerTogetherLeaveAThird(t *testing.T) {
	const budget = 12000
	m := newShareModel(t, budget, 40, 1)
	for i := range m.flows {
		m.grow(i)
	}
	if held := m.s.held; held > budget*2/3+40*(minHeld+1) {
		t.Errorf("one peer holds %d of %d", held, budget)
	}
	other := new(flowtable.Record)
	copy(other.Key.Outside[10:], []byte{0xff, 0xff, 10, 9, 8, 7})
	m.flows = append(m.flows, other)
	if got := m.grow(len(m.flows) - 1); got < budget/8 {
		t.Errorf("a flow of another peer holds %d", got)
	}
}

func TestFlowWithNothingToDropIsRankedLast(t *testing.T) {
	m := newShareModel(t, 12000, 3, 2)
	m.grow(0)
	m.grow(1)
	first := m.s.greediest()
	if first != m.flows[0] {
		t.Fatal("the first flow does not hold most")
	}
	m.s.spare(first)
	if got := m.s.greediest(); got != m.flows[1] {
		t.Error("the flow was not spared")
	}
}
