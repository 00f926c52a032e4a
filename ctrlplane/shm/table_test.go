package shm

import (
	"errors"
	"strings"
	"testing"
)

func TestEveryCounterHasNameUnitHelpAndKind(t *testing.T) {
	table := NewTable()
	if err := table.check(); err != nil {
		t.Fatal(err)
	}
	for c := firstStage; c < NumCounters; c++ {
		info := table.Info(c)
		if info.Name == "" || info.Unit == "" || info.Help == "" || info.Kind == KindNone {
			t.Errorf("counter %d: %+v", c, info)
		}
		if strings.HasPrefix(info.Name, "drop_") != (info.Kind == KindDrop) || strings.HasPrefix(info.Name, "abort_") != (info.Kind == KindAbort) {
			t.Errorf("%s is of kind %v", info.Name, info.Kind)
		}
		if found, ok := table.Find(info.Name); !ok || found != c {
			t.Errorf("%s found at %d", info.Name, found)
		}
	}
	n := 0
	table.Range(func(Counter, Info) bool { n++; return true })
	if n != int(NumCounters-firstStage) {
		t.Errorf("%d counters listed", n)
	}
}

func TestTableIsReadBackFromMemory(t *testing.T) {
	table := NewTable()
	b := make([]byte, tableBytes)
	table.put(b)
	if again, err := readTable(b); err != nil || *again != *table {
		t.Errorf("read from memory: %v", err)
	}
}

func TestDamagedTablesAreRefused(t *testing.T) {
	tests := map[string]Info{
		"name taken": {"polls", "u", "h", KindEvent},
		"bad name":   {"X-y", "u", "h", KindEvent},
		"no kind":    {"x", "u", "h", KindNone},
		"bad kind":   {"x", "u", "h", endKinds},
		"long help":  {"x", "u", strings.Repeat("h", helpRoom), KindEvent},
		"long name":  {strings.Repeat("x", nameRoom), "u", "h", KindEvent},
	}
	for name, info := range tests {
		table := NewTable()
		table.infos[NumCounters] = info
		if err := table.check(); !errors.Is(err, ErrTable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
