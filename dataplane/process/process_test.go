package process

import (
	"strings"
	"testing"

	"linecrypt/dataplane/port"
)

// fakePort has a kind and abilities; nothing else is asked of it.
type fakePort struct {
	port.Port
	kind string
	rss  bool
}

func (p fakePort) Name() string    { return "fake" }
func (p fakePort) Kind() string    { return p.kind }
func (p fakePort) Caps() port.Caps { return port.Caps{RSS: p.rss} }

func TestSeveralWorkersNeedPortsThatSpreadAlike(t *testing.T) {
	spreads, other, plain := fakePort{kind: "packet", rss: true}, fakePort{kind: "dpdk", rss: true}, fakePort{kind: "dpdk"}
	for _, c := range []struct {
		name            string
		inside, outside port.Port
		workers         int
		want            string
	}{
		{"one worker takes any port", plain, other, 1, ""},
		{"two of a kind", spreads, spreads, 2, ""},
		{"inside does not spread", plain, other, 2, "does not spread"},
		{"outside does not spread", other, plain, 2, "does not spread"},
		{"two kinds", spreads, other, 2, "spread connections differently"},
	} {
		err := checkSpread(c.inside, c.outside, c.workers)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
