package responder

import (
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
)

func TestRequestsForKeysAreToldApartByWhatTheyCost(t *testing.T) {
	seen := map[int]tcpcrypt.TEP{}
	for _, tep := range tcpcrypt.TEPs() {
		a := newResponder(t, nil)
		b := newResponder(t, func(p *Terms) { p.TEPs = []tcpcrypt.TEP{tep} })
		h, _ := untilInit2(t, a, b)
		cost := curveCosts[tep]
		for _, c := range []struct {
			q    shm.Request
			want Work
		}{
			{h.answerRequest(), Work{classOf(tep), cost.generate, false}},
			{h.passiveRequest(), Work{classOf(tep), cost.generate + cost.share, true}},
			{h.activeRequest(), Work{classOf(tep), cost.generate + cost.share, true}},
		} {
			if got, ok := WorkFor(&c.q); !ok || got != c.want || got.Micros == 0 {
				t.Errorf("%v, %v: %+v, %v, want %+v", tep, c.q.Kind, got, ok, c.want)
			}
		}
		if other, taken := seen[classOf(tep)]; taken || classOf(tep) >= NumClasses {
			t.Errorf("%v has the class of %v", tep, other)
		}
		seen[classOf(tep)] = tep
	}
}

func TestRequestsWithoutAKeyAgreementCostNothing(t *testing.T) {
	h := untilInit1(t, newResponder(t, nil), newResponder(t, nil))
	for name, q := range map[string]shm.Request{
		"nothing in common":  {Kind: shm.ActiveAnswer, ENOA: h.enoA, ENOB: enoOption(0x01, 0x30)},
		"end":                {Kind: shm.Closed},
		"nothing negotiated": {Kind: shm.PassiveKeys, ENOA: h.enoA, ENOB: h.enoA, Init1: h.init1},
		"malformed options":  {Kind: shm.ActiveAnswer, ENOA: []byte{69, 3}, ENOB: []byte{1}},
	} {
		if w, ok := WorkFor(&q); ok {
			t.Errorf("%s: %+v", name, w)
		}
	}
}

// What waits longest is what costs most on this machine too. The least of several runs is taken, for others may run meanwhile.
func TestDearestKeyAgreementOfTheTableIsTheDearest(t *testing.T) {
	measured := map[tcpcrypt.TEP]time.Duration{}
	for _, tep := range tcpcrypt.TEPs() {
		for run := range 7 {
			begin := time.Now()
			k, err := tcpcrypt.GenerateKey(tep, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.Shared(k.Public()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); run == 0 || took < measured[tep] {
				measured[tep] = took
			}
		}
	}
	byCost := slices.SortedFunc(slices.Values(tcpcrypt.TEPs()), func(a, b tcpcrypt.TEP) int {
		return int(curveCosts[a].generate + curveCosts[a].share - curveCosts[b].generate - curveCosts[b].share)
	})
	dearest := byCost[len(byCost)-1]
	for _, tep := range byCost[:len(byCost)-1] {
		if measured[tep] >= measured[dearest] {
			t.Errorf("%v takes %v, and %v, the dearest, %v", tep, measured[tep], dearest, measured[dearest])
		}
	}
}
