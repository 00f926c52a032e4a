package spelling

import (
	"strings"
	"testing"
)

func TestEditsCountInsertionsDeletionsReplacementsAndSwaps(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"run", "run", 0}, {"", "run", 3}, {"run", "", 3}, {"rum", "run", 1}, {"rn", "run", 1}, {"ruun", "run", 1},
		{"sttaus", "status", 1}, {"sessoins", "sessions", 1}, {"abc", "cab", 2}, {"kitten", "sitting", 3},
	} {
		if got := Edits(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d edits, want %d", c.a, c.b, got, c.want)
		}
		if got := Edits(c.b, c.a); got != c.want {
			t.Errorf("%q to %q: %d edits, want %d", c.b, c.a, got, c.want)
		}
	}
}

func TestNearestWordIsFoundAndAFarOneIsNot(t *testing.T) {
	known := []string{"run", "status", "sessions", "stop", "reload", "version"}
	for word, want := range map[string]string{
		"rum": "run", "sttus": "status", "stat": "status", "session": "sessions", "relaod": "reload", "STATUS": "", "x": "", "": "",
		"stopp": "stop", "delete": "", strings.Repeat("run", 50): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}
