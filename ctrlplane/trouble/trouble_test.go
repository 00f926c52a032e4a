package trouble

import (
	"strings"
	"testing"

	"linecrypt/ctrlplane/shm"
)

func TestAdviceIsAboutCountersThatExist(t *testing.T) {
	table := shm.NewTable()
	for _, name := range Names() {
		if _, ok := table.Find(name); !ok {
			t.Errorf("%s: no such counter", name)
		}
		if text, ok := Advice(name); !ok || text == "" || strings.HasSuffix(text, ".") {
			t.Errorf("%s: %q", name, text)
		}
	}
	if _, ok := Advice("drop_egress_old"); ok {
		t.Error("an old segment is no trouble")
	}
}
