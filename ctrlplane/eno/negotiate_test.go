package eno

import (
	"bytes"
	"errors"
	"testing"
)

func TestNegotiation(t *testing.T) {
	always := func(a, b []byte) bool { return true }
	never := func(a, b []byte) bool { return false }
	for _, c := range []struct {
		name      string
		own, peer string
		rules     Rules
		want      TEP
		reason    Reason
	}{
		{"figure 9", "21 23", "01 23", Rules{}, 0x23, 0},
		{"figure 9 at B", "01 23", "21 23", Rules{Opener: Passive}, 0x23, 0},
		{"figure 12 at A", "22 21", "01 21 22 23", Rules{}, 0x22, 0},
		{"figure 12 at B, an active opener", "01 21 22 23", "22 21", Rules{}, 0x22, 0},
		{"last valid of B, whatever A's order", "24 23 21", "01 21 23 24", Rules{}, 0x24, 0},
		{"B's last is not valid here", "24 23 21", "01 21 23 24", Rules{TEPs: []TEP{0x21, 0x23}}, 0x23, 0},
		{"global after the TEPs", "23", "23 01", Rules{}, 0x23, 0},
		{"z bits ignored", "1c 23", "1d 23", Rules{}, 0x23, 0},
		{"aware where required", "02 23", "03 23", Rules{RequireAware: true}, 0x23, 0},
		{"own a does not matter to own mode", "23", "03 23", Rules{RequireAware: true}, 0x23, 0},
		{"data that is valid", "a3 01", "01 a3 02", Rules{Valid: always}, 0x23, 0},
		{"earlier TEP of B where the last has bad data", "21 23", "01 21 a3 02", Rules{}, 0x21, 0},
		{"earlier TEP of B where the last is repeated", "21 23 23", "01 21 23", Rules{}, 0x21, 0},

		{"both A, two active openers by default", "23", "23", Rules{}, 0, SameRole},
		{"both B, active opener that chose b = 1", "01 23", "01 23", Rules{}, 0, SameRole},
		{"passive opener gets b = 1", "01 23", "01 23", Rules{Opener: Passive}, 0, SameRole},
		{"echo of own option", "00 23", "00 23", Rules{}, 0, SameRole},
		{"peer not aware", "02 23", "01 23", Rules{RequireAware: true}, 0, NotAware},
		{"peer vacuous", "23", "01", Rules{}, 0, Vacuous},
		{"own vacuous", "", "01 23", Rules{}, 0, Vacuous},
		{"no common TEP", "21 22", "01 23", Rules{}, 0, NoCommonTEP},
		{"common TEP disabled here", "23", "01 23", Rules{TEPs: []TEP{}}, 0, NoCommonTEP},
		{"repeated by A", "23 23", "01 23", Rules{Valid: always}, 0, RepeatedTEP},
		{"repeated by B", "23", "01 23 a3", Rules{Valid: always}, 0, RepeatedTEP},
		{"data of A not valid", "a3 01", "01 23", Rules{}, 0, InvalidData},
		{"data of B not valid", "23", "01 a3 01", Rules{}, 0, InvalidData},
		{"not valid by predicate", "23", "01 23", Rules{Valid: never}, 0, InvalidData},
		{"length byte beyond the end", "23", "01 9f a3", Rules{}, 0, DataBeyondEnd},
		{"length byte before no TEP", "23", "01 80 23", Rules{}, 0, LengthWithoutTEP},
	} {
		n, err := Negotiate(option(t, c.own), option(t, c.peer), c.rules)
		if n.TEP != c.want || ReasonOf(err) != c.reason || (err == nil) != (c.reason == ReasonNone) {
			t.Errorf("%s: got 0x%02x, %v, want 0x%02x, %v", c.name, uint8(n.TEP), err, uint8(c.want), c.reason)
		}
	}
}

func TestRolesFollowTheBBit(t *testing.T) {
	a, b := option(t, "23"), option(t, "01 23")
	if n, err := Negotiate(a, b, Rules{}); err != nil || n.Role != A || n.Role.Peer() != B {
		t.Errorf("sender of b = 0 has role %v: %v", n.Role, err)
	}
	if n, err := Negotiate(b, a, Rules{}); err != nil || n.Role != B || n.Role.Peer() != A {
		t.Errorf("sender of b = 1 has role %v: %v", n.Role, err)
	}
}

func TestMissingOptionDisablesEncryption(t *testing.T) {
	if _, err := Negotiate(option(t, "23"), nil, Rules{}); !errors.Is(err, NoOption) {
		t.Error(err)
	}
}

func TestNegotiationTellsBothHostsDataAndTheByteOfB(t *testing.T) {
	own, peer := option(t, "21 a3 010203"), option(t, "03 a3 0405")
	n, err := Negotiate(own, peer, Rules{Valid: func(a, b []byte) bool {
		return bytes.Equal(a, []byte{0xa3, 1, 2, 3}) && bytes.Equal(b, []byte{0xa3, 4, 5})
	}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(n.A.Data(), []byte{1, 2, 3}) || !bytes.Equal(n.B.Data(), []byte{4, 5}) || n.B[0] != 0xa3 || !n.B.V() || !n.PeerAware {
		t.Errorf("got %+v", n)
	}
}

func TestValidityPredicateGetsHostsInTheSameOrderAtBothEnds(t *testing.T) {
	a, b := option(t, "23"), option(t, "01 a3 05")
	valid := func(a, b []byte) bool { return len(a) == 1 && len(b) == 2 }
	if _, err := Negotiate(a, b, Rules{Valid: valid}); err != nil {
		t.Error(err)
	}
	if _, err := Negotiate(b, a, Rules{Opener: Passive, Valid: valid}); err != nil {
		t.Error(err)
	}
}

func TestFaultsOfTheCallerAreNoReasons(t *testing.T) {
	if _, err := Negotiate(option(t, "23"), option(t, "23"), Rules{Opener: Passive}); !errors.Is(err, ErrPassiveRole) || ReasonOf(err) != ReasonNone {
		t.Errorf("passive opener without b: %v", err)
	}
	if _, err := Negotiate(option(t, "80"), option(t, "23"), Rules{}); !errors.Is(err, ErrOwnOption) || ReasonOf(err) != ReasonNone {
		t.Errorf("own option ill-formed: %v", err)
	}
}

func TestTranscriptIsOptionOfAThenOptionOfB(t *testing.T) {
	a, b := option(t, "1c 23"), option(t, "01 23 00")
	want := append(append([]byte{}, a...), b...)
	if got := AppendTranscript(nil, A, a, b); !bytes.Equal(got, want) {
		t.Errorf("at A: %x", got)
	}
	if got := AppendTranscript(nil, B, b, a); !bytes.Equal(got, want) {
		t.Errorf("at B: %x", got)
	}
}

func FuzzNegotiate(f *testing.F) {
	f.Add(option(f, "21 23"), option(f, "01 23"), false)
	f.Add(option(f, "a3 0102"), option(f, "01 a3 0102"), true)
	f.Add(option(f, "23 23"), option(f, "01 21 23 a3"), false)
	valid := func(a, b []byte) bool { return len(a)+len(b) < 20 }
	f.Fuzz(func(t *testing.T, own, peer []byte, aware bool) {
		n, err := Negotiate(own, peer, Rules{RequireAware: aware, Valid: valid})
		m, mirror := Negotiate(peer, own, Rules{Valid: valid})
		if err != nil {
			if !aware && mirror == nil {
				t.Fatalf("fails with %v at one end only", err)
			}
			return
		}
		if mirror != nil || m.TEP != n.TEP || m.Role != n.Role.Peer() || !bytes.Equal(m.A, n.A) || !bytes.Equal(m.B, n.B) {
			t.Fatalf("%x and %x: %+v at one end, %+v (%v) at the other", own, peer, n, m, mirror)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(option(f, "21 23"))
	f.Add(option(f, "00 81 a3 0102 24"))
	valid := func(a, b []byte) bool { return len(a) < 10 }
	f.Fuzz(func(t *testing.T, syn []byte) {
		out, n, err := Answer(nil, syn, AnswerRules{Prefer: []TEP{0x23, 0x24, 0x21}, Valid: valid})
		if err != nil {
			if len(out) != 0 || ReasonOf(err) == ReasonNone {
				t.Fatalf("%x with %v", out, err)
			}
			return
		}
		m, err := Negotiate(syn, out, Rules{Valid: valid})
		if err != nil || m.TEP != n.TEP {
			t.Fatalf("%x answered by %x: %+v, %v", syn, out, m, err)
		}
	})
}
