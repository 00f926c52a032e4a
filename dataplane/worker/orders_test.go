package worker

import (
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// orderAbout returns an order about flow 0.
func (g *rig) orderAbout(kind shm.OrderKind, why shm.Reason) shm.Order {
	i := g.index()
	r := g.w.table.Record(i)
	return shm.Order{Kind: kind, Reason: why, Ref: shm.FlowRef{Worker: g.w.cfg.ID, Index: i, Gen: r.Gen}, Tuple: r.Key}
}

func (g *rig) give(o shm.Order) {
	g.t.Helper()
	if !g.answer.SendOrder(&o) {
		g.t.Fatal("the order does not fit")
	}
	g.turn()
}

func TestKillResetsBothEndsAndSaysWhy(t *testing.T) {
	for _, at := range []stage{activeStages[4], activeStages[5], passiveStages[4]} {
		t.Run(at.name, func(t *testing.T) {
			g := at.at(t)
			g.give(g.orderAbout(shm.Kill, shm.ReasonOrdered))
			g.state(flowtable.Closing)
			if len(g.toHost) != 1 || len(g.toWire) != 1 {
				t.Fatalf("%d segments went inside, %d outside", len(g.toHost), len(g.toWire))
			}
			host, wire := g.shot(flowtable.Inside, g.toHost[0]), g.shot(flowtable.Outside, g.toWire[0])
			if host != "RA s1 a1" || wire[:6] != "RA s81" {
				t.Errorf("the host got %q, the far end %q", host, wire)
			}
			g.counted(1, shm.AbortOrdered)
			if len(g.closed) != 1 || g.closed[0] != shm.ReasonOrdered {
				t.Errorf("the control plane was told %v", g.closed)
			}
			g.bothKnow()
		})
	}
}

func TestAnOrderToRekeyShowsTheFarEndAnotherGeneration(t *testing.T) {
	g := activeStages[5].at(t)
	g.toHost, g.toWire = nil, nil
	g.give(g.orderAbout(shm.Rekey, shm.ReasonNone))
	r := g.state(flowtable.Encrypted)
	if r.Rare.SealGen != 1 || len(g.toHost) != 0 || len(g.toWire) != 1 {
		t.Fatalf("generation %d, %d segments inside, %d outside", r.Rare.SealGen, len(g.toHost), len(g.toWire))
	}
	// RFC 8548 section 3.8: no more than one at a time where there is nothing to send.
	g.give(g.orderAbout(shm.Rekey, shm.ReasonNone))
	if r.Rare.SealGen != 1 {
		t.Errorf("generation %d before the far end has followed", r.Rare.SealGen)
	}
	g.counted(1, shm.OrdersRefused)
	g.counted(2, shm.OrdersReceived)
	g.counted(0, shm.RepliesBad)
}

func TestAStaleOrderDoesNothing(t *testing.T) {
	for name, spoil := range map[string]func(o *shm.Order){
		"another generation of the record": func(o *shm.Order) { o.Ref.Gen++ },
		"another record":                   func(o *shm.Order) { o.Ref.Index++ },
		"no record":                        func(o *shm.Order) { o.Ref.Index = 1 << 30 },
		"another worker":                   func(o *shm.Order) { o.Ref.Worker++ },
		"other addresses":                  func(o *shm.Order) { o.Tuple.OutsidePort++ },
	} {
		t.Run(name, func(t *testing.T) {
			g := activeStages[5].at(t)
			g.toHost, g.toWire = nil, nil
			for _, o := range []shm.Order{g.orderAbout(shm.Kill, shm.ReasonOrdered), g.orderAbout(shm.Rekey, shm.ReasonNone)} {
				spoil(&o)
				g.give(o)
			}
			g.counted(2, shm.OrdersStale)
			g.expect(name, nil, nil)
			if g.state(flowtable.Encrypted).Rare.SealGen != 0 {
				t.Error("it rekeyed")
			}
		})
	}
	t.Run("before there are keys", func(t *testing.T) {
		g := activeStages[2].at(t)
		g.give(g.orderAbout(shm.Kill, shm.ReasonOrdered))
		g.counted(1, shm.OrdersStale)
		g.state(activeStages[2].state)
	})
}

func TestMalformedOrdersAreCounted(t *testing.T) {
	g := activeStages[5].at(t)
	for _, b := range [][]byte{{0x80}, make([]byte, shm.OrderSize), append(make([]byte, shm.OrderSize), 1)} {
		b[0] = 0xff
		room := g.answer.Reserve(len(b))
		copy(room, b)
		g.answer.Commit(len(b))
		g.turn()
	}
	g.counted(3, shm.RepliesBad)
	g.state(flowtable.Encrypted)
}
