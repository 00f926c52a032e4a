package gateway

import (
	"slices"
	"testing"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port/memory"
	"linecrypt/flowtable"
)

func TestConnectionsThatAFarEndBelievesEncryptedOutliveTheirDataPlane(t *testing.T) {
	arena, err := mbuf.NewArena(64, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	caches := []*mbuf.Cache{mbuf.NewCache(arena)}
	inside, _, err1 := memory.NewEnd("in", memory.Options{}, caches)
	outside, _, err2 := memory.NewEnd("out", memory.Options{}, caches)
	engine, err3 := cryptobatch.New("generic")
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	cfg, dir := config.Default(), t.TempDir()
	cfg.Flows.Max = 64
	g, err := New(Options{Config: cfg, SegmentDir: dir, Inside: inside, Outside: outside, Caches: caches, Cores: []int{-1}, Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	part := g.Segment().Worker(0)
	table, err := flowtable.New(part.FlowMemory, part.Layout, [2]uint64{1, 2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	started := []flowtable.State{flowtable.ActiveInit, flowtable.ActiveKeys, flowtable.PassiveInit, flowtable.PassiveKeys, flowtable.Encrypted}
	want := append(slices.Clone(started), flowtable.PassiveAck, flowtable.Closing)
	for s := flowtable.Plain; s < flowtable.NumStates; s++ {
		k := flowtable.Key{InsidePort: uint16(s)}
		i, _ := table.Insert(&k, table.Hash(&k), 1)
		table.SetState(i, s)
		if slices.Contains(started, s) {
			table.Record(i).Flags |= flowtable.FlagStarted
		}
	}
	var got []flowtable.State
	for _, k := range orphans(dir, cfg.Name) {
		got = append(got, flowtable.State(k.InsidePort))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%v are remembered, not %v", got, want)
	}
	if len(orphans(dir, "nobody")) != 0 {
		t.Error("a segment that is not there has orphans")
	}
}
