package shm

import (
	"errors"
	"strings"
	"testing"
)

func TestEveryCounterHasNameUnitHelpAndKind(t *testing.T) {
	table, err := NewTable()
	if err != nil {
		t.Fatal(err)
	}
	for c := Counter(0); c < ownCounters; c++ {
		info := table.Info(c)
		if info.Name == "" || info.Unit == "" || info.Help == "" || info.Kind == KindNone {
			t.Errorf("counter %d: %+v", c, info)
		}
		if strings.HasPrefix(info.Name, "drop_") != (info.Kind == KindDrop) {
			t.Errorf("%s is of kind %v", info.Name, info.Kind)
		}
		if found, ok := table.Find(info.Name); !ok || found != c {
			t.Errorf("%s found at %d", info.Name, found)
		}
	}
	if ownCounters > WorkerBase {
		t.Errorf("%d counters reach into the worker's range", ownCounters)
	}
	n := 0
	table.Range(func(Counter, Info) bool { n++; return true })
	if n != int(ownCounters) {
		t.Errorf("%d counters listed", n)
	}
}

func TestGroupTakesKindsFromNames(t *testing.T) {
	names := []string{"none", "drop_x", "abort_x", "sealed_bytes", "sealed_frames", "spin_cycles", "rekeys"}
	want := []Kind{KindNone, KindDrop, KindAbort, KindBytes, KindPackets, KindCycles, KindEvent}
	table, err := NewTable(GroupOf(StreamBase, len(names), func(i int) (string, string) { return names[i], "help" }))
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		if got := table.Info(StreamBase + Counter(i)).Kind; got != want[i] {
			t.Errorf("%s is of kind %v", names[i], got)
		}
	}
	b := make([]byte, tableBytes)
	table.put(b)
	if again, err := readTable(b); err != nil || *again != *table {
		t.Errorf("read from memory: %v", err)
	}
}

func TestBadGroupsAreRefused(t *testing.T) {
	one := func(info Info) []Info { return []Info{info} }
	tests := map[string]Group{
		"place taken": {0, one(Info{"x", "u", "h", KindEvent})},
		"name taken":  {WorkerBase, one(Info{"polls", "u", "h", KindEvent})},
		"beyond":      {NumCounters, one(Info{"x", "u", "h", KindEvent})},
		"bad name":    {WorkerBase, one(Info{"X-y", "u", "h", KindEvent})},
		"no kind":     {WorkerBase, one(Info{"x", "u", "h", KindNone})},
		"bad kind":    {WorkerBase, one(Info{"x", "u", "h", endKinds})},
		"long help":   {WorkerBase, one(Info{"x", "u", strings.Repeat("h", helpRoom), KindEvent})},
		"long name":   {WorkerBase, one(Info{strings.Repeat("x", nameRoom), "u", "h", KindEvent})},
	}
	for name, g := range tests {
		if _, err := NewTable(g); !errors.Is(err, ErrTable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRangesOfABlockAreBounded(t *testing.T) {
	var b Block
	r := b.Range(StreamBase, 2)
	r[1] = 5
	if b[StreamBase+1] != 5 || len(r) != 2 || cap(r) != 2 {
		t.Error("the range is not the block's memory")
	}
	if b.Range(NumCounters-1, 2) != nil || b.Range(0, -1) != nil {
		t.Error("a range beyond the block")
	}
}
