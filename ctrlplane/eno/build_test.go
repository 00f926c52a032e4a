package eno

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestOffersAreEncoded(t *testing.T) {
	half := "0102030405060708090a0b"
	for _, c := range []struct {
		name  string
		offer Offer
		want  string
	}{
		{"one", Offer{TEPs: []TEP{0x23}}, "450323"},
		{"explicit global", Offer{Global: Global{Explicit: true}, TEPs: []TEP{0x23}}, "45040023"},
		{"several", Offer{TEPs: []TEP{0x21, 0x24, 0x23}}, "4505212423"},
		{"aware", Offer{Global: Global{Aware: true}, TEPs: []TEP{0x23}}, "45040223"},
		{"role B", Offer{Global: Global{Role: B}, TEPs: []TEP{0x23}}, "45040123"},
		{"role B, aware", Offer{Global: Global{Role: B, Aware: true}, TEPs: []TEP{0x23}}, "45040323"},
		{"vacuous", Offer{}, "4502"},
		{"resumption last", Offer{TEPs: []TEP{0x24, 0x21}, Resume: Suboption(unhex(t, "a3"+half))}, "45102421a3" + half},
		{"resumption in place of its TEP", Offer{TEPs: []TEP{0x23, 0x21}, Resume: Suboption(unhex(t, "a3"+half))}, "450f21a3" + half},
	} {
		got, err := AppendOffer([]byte{1}, c.offer)
		if err != nil || !bytes.Equal(got, append([]byte{1}, unhex(t, c.want)...)) {
			t.Errorf("%s: got %x, %v, want 01%s", c.name, got, err, c.want)
		}
	}
}

func TestPassiveRoleAndAwareBitsAreOffByDefault(t *testing.T) {
	raw, err := AppendOffer(nil, Offer{TEPs: []TEP{0x23}})
	if err != nil {
		t.Fatal(err)
	}
	if o, err := Parse(raw); err != nil || o.Role() != A || o.Aware() {
		t.Errorf("role %v, aware %v, %v", o.Role(), o.Aware(), err)
	}
}

func TestDataBeforeTheLastSuboptionGetsALengthByte(t *testing.T) {
	got, err := Append(nil, Global{}, Suboption{0xa3, 1, 2}, Suboption{0x21}, Suboption{0xa4, 3})
	if err != nil || !bytes.Equal(got, unhex(t, "4509 81a30102 21 a403")) {
		t.Errorf("got %x, %v", got, err)
	}
	long := append(Suboption{0xa3}, bytes.Repeat([]byte{7}, 32)...)
	got, err = Append(nil, Global{}, long, Suboption{0x21})
	if err != nil || !bytes.Equal(got, unhex(t, "4525 9fa3 "+strings.Repeat("07", 32)+"21")) {
		t.Errorf("got %x, %v", got, err)
	}
}

func TestWhatTheFormatCannotExpressIsRefused(t *testing.T) {
	data := func(n int) Suboption { return append(Suboption{0xa3}, make([]byte, n)...) }
	for name, c := range map[string]struct {
		subs []Suboption
		want error
	}{
		"33 bytes before the last":  {[]Suboption{data(33), {0x21}}, ErrSuboption},
		"v without data not last":   {[]Suboption{{0xa3}, {0x21}}, ErrSuboption},
		"data without v":            {[]Suboption{{0x23, 1}}, ErrSuboption},
		"empty suboption":           {[]Suboption{{}}, ErrSuboption},
		"global as suboption":       {[]Suboption{{0x01}}, ErrTEPRange},
		"length byte as suboption":  {[]Suboption{{0x80, 1}}, ErrTEPRange},
		"more than 40 bytes":        {[]Suboption{data(38)}, ErrOptionTooLong},
		"more than 40 bytes in all": {[]Suboption{{0x21}, data(37)}, ErrOptionTooLong},
	} {
		if got, err := Append([]byte{5}, Global{}, c.subs...); !errors.Is(err, c.want) || len(got) != 1 {
			t.Errorf("%s: got %x, %v, want %v", name, got, err, c.want)
		}
	}
	if _, err := Append(nil, Global{}, data(37)); err != nil {
		t.Errorf("40 bytes: %v", err)
	}
	if _, err := AppendOffer(nil, Offer{TEPs: []TEP{0x23, 0x23}}); !errors.Is(err, ErrRepeatedInOffer) {
		t.Errorf("repeated TEP: %v", err)
	}
	for _, tep := range []TEP{0, 0x1f, 0x80, 0xff} {
		if _, err := AppendOffer(nil, Offer{TEPs: []TEP{tep}}); !errors.Is(err, ErrTEPRange) {
			t.Errorf("TEP 0x%02x: %v", uint8(tep), err)
		}
	}
}

func TestPassiveAnswerHasRoleBAndOneValidTEPByItsOwnPreference(t *testing.T) {
	for _, c := range []struct {
		name, syn string
		rules     AnswerRules
		want      string
	}{
		{"only common one", "21 23", AnswerRules{Prefer: []TEP{0x23}}, "45040123"},
		{"own order, not the peer's", "23 24 21", AnswerRules{Prefer: []TEP{0x24, 0x23}}, "45040124"},
		{"aware", "02 23", AnswerRules{Prefer: []TEP{0x23}, Aware: true, RequireAware: true}, "45040323"},
		{"repeated TEP avoided", "23 23 21", AnswerRules{Prefer: []TEP{0x23, 0x21}}, "45040121"},
		{"invalid data avoided", "21 a3 01", AnswerRules{Prefer: []TEP{0x23, 0x21}}, "45040121"},
		{"data that the TEP allows", "21 a3 01", AnswerRules{Prefer: []TEP{0x23}, Valid: func(a, b []byte) bool { return len(a) == 2 }}, "45040123"},
	} {
		syn := option(t, c.syn)
		got, n, err := Answer([]byte{1}, syn, c.rules)
		if err != nil || !bytes.Equal(got, append([]byte{1}, unhex(t, c.want)...)) {
			t.Errorf("%s: got %x, %v, want %s", c.name, got, err, c.want)
			continue
		}
		if n.Role != B || !bytes.Equal(n.B, got[4:]) {
			t.Errorf("%s: negotiated %+v", c.name, n)
		}
		if m, err := Negotiate(syn, got[1:], Rules{Valid: c.rules.Valid}); err != nil || m.TEP != n.TEP || m.Role != A {
			t.Errorf("%s: host A negotiates %+v, %v", c.name, m, err)
		}
	}
}

func TestPassiveOpenerDoesNotAnswerWhereENOFails(t *testing.T) {
	for _, c := range []struct {
		name  string
		syn   []byte
		rules AnswerRules
		want  Reason
	}{
		{"no option", nil, AnswerRules{Prefer: []TEP{0x23}}, NoOption},
		{"ill-formed", option(t, "80 23 00"), AnswerRules{Prefer: []TEP{0x23}}, LengthWithoutTEP},
		{"vacuous", option(t, ""), AnswerRules{Prefer: []TEP{0x23}}, Vacuous},
		{"role B", option(t, "01 23"), AnswerRules{Prefer: []TEP{0x23}}, SameRole},
		{"not aware", option(t, "23"), AnswerRules{Prefer: []TEP{0x23}, RequireAware: true}, NotAware},
		{"no common TEP", option(t, "21 22"), AnswerRules{Prefer: []TEP{0x23, 0x24}}, NoCommonTEP},
		{"none enabled", option(t, "21 22"), AnswerRules{}, NoCommonTEP},
		{"repeated", option(t, "23 23"), AnswerRules{Prefer: []TEP{0x24, 0x23, 0x22}}, RepeatedTEP},
		{"invalid", option(t, "a3 01"), AnswerRules{Prefer: []TEP{0x23, 0x22}}, InvalidData},
	} {
		got, _, err := Answer([]byte{1}, c.syn, c.rules)
		if ReasonOf(err) != c.want || !bytes.Equal(got, []byte{1}) {
			t.Errorf("%s: got %x, %v, want %v", c.name, got, err, c.want)
		}
	}
}

func TestResumptionIsAnsweredBeforePreference(t *testing.T) {
	rules := AnswerRules{
		Prefer: []TEP{0x24, 0x23},
		Valid:  func(a, b []byte) bool { return true },
		Resume: func(syn Suboption) (Suboption, bool) {
			return Suboption{0x80 | byte(syn.TEP()), 9}, syn.Data()[0] == 7
		},
	}
	for contents, want := range map[string]string{
		"24 a3 07": "450501a309",
		"24 a3 08": "45040124",
		"24 a2 07": "45040124",
	} {
		if got, _, err := Answer(nil, option(t, contents), rules); err != nil || !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%s: got %x, %v, want %s", contents, got, err, want)
		}
	}
}

func TestVacuousAnswerHasRoleBAndOnlyAnswersENO(t *testing.T) {
	got, err := AppendVacuousAnswer(nil, option(t, "23"), false)
	if err != nil || !bytes.Equal(got, unhex(t, "450301")) {
		t.Errorf("got %x, %v", got, err)
	}
	for name, syn := range map[string][]byte{"none": nil, "ill-formed": option(t, "80")} {
		if got, err := AppendVacuousAnswer(nil, syn, false); !errors.Is(err, ErrUnaskedVacuous) || len(got) != 0 {
			t.Errorf("%s: got %x, %v", name, got, err)
		}
	}
}

func TestReasonsAreDistinctAndNamed(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if seen[r.Error()] || r.Error() == "" || r.Error() == "none" || ReasonOf(fmt.Errorf("x: %w", r)) != r {
			t.Errorf("reason %d is %q", r, r)
		}
		seen[r.Error()] = true
	}
	if ReasonOf(errors.New("x")) != ReasonNone || ReasonOf(nil) != ReasonNone || Reason(200).String() != "unknown" {
		t.Error("what is no reason has one")
	}
}
