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
		"question what to offer":  {Kind: shm.ActiveOpen},
		"question what to answer": {Kind: shm.PassiveOpen, ENOA: h.enoA},
		"end":                     {Kind: shm.Closed},
		"nothing negotiated":      {Kind: shm.PassiveKeys, ENOA: h.enoA, ENOB: h.enoA, Init1: h.init1},
		"malformed options":       {Kind: shm.ActiveAnswer, ENOA: []byte{69, 3}, ENOB: []byte{1}},
	} {
		if w, ok := WorkFor(&q); ok {
			t.Errorf("%s: %+v", name, w)
		}
	}
}

// The proportions in the table are those of this machine, within a wide margin: the least of several runs is taken.
func TestTableOfCostsIsOfTheRightOrder(t *testing.T) {
	least := func(f func()) time.Duration {
		var all []time.Duration
		for range 7 {
			begin := time.Now()
			f()
			all = append(all, time.Since(begin))
		}
		return slices.Min(all)
	}
	measured := map[tcpcrypt.TEP]time.Duration{}
	for _, tep := range tcpcrypt.TEPs() {
		measured[tep] = least(func() {
			k, err := tcpcrypt.GenerateKey(tep, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.Shared(k.Public()); err != nil {
				t.Fatal(err)
			}
		})
	}
	base := tcpcrypt.ECDHECurve25519
	for tep, c := range curveCosts {
		table := float64(c.generate+c.share) / float64(curveCosts[base].generate+curveCosts[base].share)
		is := float64(measured[tep]) / float64(measured[base])
		if is > 4*table || is < table/4 {
			t.Errorf("%v costs %.1f times %v, the table says %.1f", tep, is, base, table)
		}
	}
}
