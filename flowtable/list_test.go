package flowtable

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// listed returns the records of a list from the oldest on.
func listed(table *Table, l List) (all []Index) {
	for i := table.Oldest(l); i != 0; i = table.Younger(i) {
		all = append(all, i)
	}
	return all
}

func TestListsKeepTheOrderOfAge(t *testing.T) {
	table := newTable(t, 200)
	want := map[List][]Index{}
	var all []Index
	for n := range 200 {
		all = append(all, add(t, table, n))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		i, l := all[r.IntN(len(all))], List(r.IntN(int(numLists)))
		for k := range want {
			want[k] = slices.DeleteFunc(want[k], func(j Index) bool { return j == i })
		}
		table.Enlist(i, l)
		if l != NoList {
			want[l] = append(want[l], i)
		}
	}
	total := 0
	for l := InsideUnanswered; l < numLists; l++ {
		if got := listed(table, l); !slices.Equal(got, want[l]) || table.Listed(l) != len(got) {
			t.Errorf("list %d holds %v, not %v", l, got, want[l])
		}
		total += table.Listed(l)
	}
	if table.Established() != 200-total {
		t.Errorf("%d established, not %d", table.Established(), 200-total)
	}
	for _, i := range all {
		table.Remove(i)
	}
	for l := InsideUnanswered; l < numLists; l++ {
		if table.Listed(l) != 0 || table.Oldest(l) != 0 {
			t.Errorf("list %d holds records that are gone", l)
		}
	}
	if table.Established() != 0 {
		t.Errorf("%d established", table.Established())
	}
}

func TestListsAreEmptyAfterARestart(t *testing.T) {
	l := Layout{Capacity: 8, Chunks: 8}
	mem := memory(l)
	table, err := New(mem, l, testSeed, 0)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 {
		table.Enlist(add(t, table, n), OutsideAnswered)
	}
	again, err := Attach(mem, l)
	if err != nil {
		t.Fatal(err)
	}
	if n := again.Recover(0); n != 4 || again.Listed(OutsideAnswered) != 0 || again.Established() != 4 {
		t.Errorf("%d records, %d in the list", n, again.Listed(OutsideAnswered))
	}
	again.Enlist(find(again, 2), Tombs)
	if got := listed(again, Tombs); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestOptionsAreKeptWhole(t *testing.T) {
	var o Option
	for n := range 41 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(n + i)
		}
		if !o.Set(b) || o.Len() != n || !slices.Equal(o.Bytes(), b) {
			t.Fatalf("%d bytes", n)
		}
	}
	if o.Set(make([]byte, 41)) || o.Len() != 0 {
		t.Error("41 bytes are kept")
	}
}

func TestOldestPlainGoesByWeight(t *testing.T) {
	table := newTable(t, 8)
	for n := range 6 {
		add(t, table, n)
	}
	if i := table.OldestPlain(func(r *Record) uint64 { return uint64(r.Key.InsidePort) + 1 }); i != find(table, 5) {
		t.Errorf("record %d", i)
	}
	if i := table.OldestPlain(func(*Record) uint64 { return 0 }); i != 0 {
		t.Errorf("record %d although none may be removed", i)
	}
}
