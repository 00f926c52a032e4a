package server

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"linecrypt/ctrlplane/shm"
)

func TestReasonsAreLoggedWithTheirNumbersAndNotTooOften(t *testing.T) {
	p := newPlane(t, t.TempDir(), 2)
	p.seg.Worker(0).Counters[shm.AbortAuth] = 100 // before this control plane's time
	var out bytes.Buffer
	r := newReport(slog.New(slog.NewTextHandler(&out, nil)), p.seg)
	lines := func(now int64) []string {
		out.Reset()
		r.look(p.seg, now)
		return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	}
	if got := lines(0); got[0] != "" {
		t.Errorf("at first: %q", got)
	}
	p.seg.Worker(0).Counters[shm.AbortAuth] += 2
	p.seg.Worker(1).Counters[shm.AbortAuth] += 3
	p.seg.Worker(1).Counters[shm.DropParse] += 3 // a packet's fate, not a connection's
	p.seg.ControlCounters()[shm.OverloadKeysLate] = 7
	got := lines(1)
	if len(got) != 2 || !strings.Contains(got[0], `level=WARN msg="connections were aborted" reason=abort_auth count=5 total=105 meaning=`) ||
		!strings.Contains(got[1], `level=WARN msg="a bound was reached" reason=overload_keys_late count=7 total=7`) {
		t.Errorf("after some: %q", got)
	}
	for now := int64(2); now < sayAgain; now += sayAgain / 5 {
		p.seg.Worker(0).Counters[shm.AbortAuth]++
		if got := lines(now); got[0] != "" {
			t.Errorf("again too soon: %q", got)
		}
	}
	if got := lines(1 + sayAgain); len(got) != 1 || !strings.Contains(got[0], "count=5 total=110") {
		t.Errorf("after a while: %q", got)
	}
	p.seg.Worker(0).Counters[shm.AbortAuth]++
	out.Reset()
	if r.flush(p.seg); !strings.Contains(out.String(), "count=1 total=111") {
		t.Errorf("at the end: %q", out.String())
	}
}

func TestEveryKindThatEndsAConnectionUnencryptedIsLogged(t *testing.T) {
	for k := shm.KindNone; k.String() != "invalid"; k++ {
		_, is := reported[k]
		switch k {
		case shm.KindPlain, shm.KindRefusal, shm.KindAbort, shm.KindOverload:
			if !is {
				t.Errorf("%v is not logged", k)
			}
		default:
			if is {
				t.Errorf("%v is logged", k)
			}
		}
	}
}
