package responder

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// counted returns how often a reason was counted for a kind of reply.
func counted(r *Responder, by shm.ReplyKind, reason Reason) uint64 {
	for _, c := range r.Stats().Endings() {
		if c.By == by && c.Reason == reason {
			return c.Count
		}
	}
	return 0
}

// checkEnd demands that a request ends a handshake by the kind given, for the reason given, and that this is counted once.
func checkEnd(t *testing.T, r *Responder, q shm.Request, by shm.ReplyKind, reason Reason) {
	t.Helper()
	before := counted(r, by, reason)
	p := ask(t, r, q)
	if p.Kind != by || p.Reason != reason.code() {
		t.Errorf("%v (%v), want %v (%v)", p.Kind, p.Reason, by, reason.code())
	}
	if counted(r, by, reason) != before+1 {
		t.Errorf("reason %v is not counted", reason)
	}
}

func TestRulesOfferAllTEPsOfThePolicyInRoleAAndPreferThemInItsOrder(t *testing.T) {
	for _, c := range []struct {
		aware    config.Awareness
		own, far bool
		want     []byte
	}{
		{config.AwareOff, false, false, enoOption(0x22, 0x21, 0x24, 0x23)},
		{config.AwareOn, true, false, enoOption(0x02, 0x22, 0x21, 0x24, 0x23)},
		{config.AwareMandatory, true, true, enoOption(0x02, 0x22, 0x21, 0x24, 0x23)},
	} {
		r := newResponder(t, func(p *Terms) { p.Aware = c.aware }).Rules()
		if !bytes.Equal(r.Offer(), c.want) || r.Aware != c.own || r.Mandatory != c.far {
			t.Errorf("%s: offer %x, want %x; a = %v, demanded %v", c.aware, r.Offer(), c.want, r.Aware, r.Mandatory)
		}
		if !slices.Equal(r.TEPs(), []eno.TEP{0x23, 0x24, 0x21, 0x22}) {
			t.Errorf("%s: teps %x", c.aware, r.TEPs())
		}
	}
}

func TestRulesSayWhetherThereIsRandomness(t *testing.T) {
	for n, usable := range map[int]bool{0: false, 7: false, 8: true} {
		source := &brokenAfter{}
		r, err := New(everything(), source)
		if err != nil {
			t.Fatal(err)
		}
		source.n = n
		if got := r.Rules(); got.Usable != usable {
			t.Errorf("%d bytes of randomness: usable is %v", n, got.Usable)
		}
	}
}

// negotiationCases are the far end's options in a SYN-ACK that end in a fallback, by rule (RFC 8547 sections 4.4 to 4.6).
var negotiationCases = []struct {
	name   string
	a, b   []byte
	reason eno.Reason
}{
	{"SYN-ACK of role A", enoOption(0x23), enoOption(0x23), eno.SameRole},
	{"vacuous SYN-ACK", enoOption(0x23), enoOption(0x01), eno.Vacuous},
	{"SYN-ACK with another TEP", enoOption(0x23), enoOption(0x01, 0x24), eno.NoCommonTEP},
	{"ill-formed SYN-ACK", enoOption(0x23), enoOption(0x01, 0x80), eno.DataBeyondEnd},
	{"SYN-ACK that repeats its TEP", enoOption(0x23), enoOption(0x01, 0x23, 0x23), eno.RepeatedTEP},
	{"SYN-ACK that resumes what was never offered", enoOption(0x23), enoOption(0x01, 0xa3, 1, 2, 3, 4, 5, 6, 7, 8, 9), eno.InvalidData},
	{"ENO echoed by a middlebox", enoOption(0x02, 0x23), enoOption(0x02, 0x23), eno.SameRole},
}

func TestFailedNegotiationFallsBackOrIsRefusedByPolicy(t *testing.T) {
	for mode, by := range map[flowtable.Policy]shm.ReplyKind{flowtable.Opportunistic: shm.Pass, flowtable.Require: shm.Refuse} {
		for _, c := range negotiationCases {
			t.Run(string(mode)+"/"+c.name, func(t *testing.T) {
				r := newResponder(t, func(p *Terms) { p.Policy = mode })
				checkEnd(t, r, shm.Request{Kind: shm.ActiveAnswer, ENOA: c.a, ENOB: c.b}, by, Reason(c.reason))
			})
		}
	}
}

func TestReservedBitsOfTheGlobalSuboptionAreIgnored(t *testing.T) {
	r := newResponder(t, nil)
	want(t, ask(t, r, shm.Request{Kind: shm.ActiveAnswer, ENOA: enoOption(0x23), ENOB: enoOption(0x1d, 0x23)}), shm.Init1)
}

func TestNegotiatedTEPIsTheLastValidOneOfHostB(t *testing.T) {
	r := newResponder(t, nil)
	p := want(t, ask(t, r, shm.Request{Kind: shm.ActiveAnswer, ENOA: enoOption(0x24, 0x23, 0x21), ENOB: enoOption(0x01, 0x21, 0x24, 0x22)}), shm.Init1)
	if p.TEP != 0x24 {
		t.Errorf("negotiated 0x%02x", p.TEP)
	}
}

func TestMandatoryAwareModeDemandsTheFarEndsBit(t *testing.T) {
	r := newResponder(t, func(p *Terms) { p.Aware = config.AwareMandatory })
	checkEnd(t, r, shm.Request{Kind: shm.ActiveAnswer, ENOA: enoOption(0x02, 0x23), ENOB: enoOption(0x01, 0x23)}, shm.Pass, Reason(eno.NotAware))
	want(t, ask(t, r, shm.Request{Kind: shm.ActiveAnswer, ENOA: enoOption(0x02, 0x23), ENOB: enoOption(0x03, 0x23)}), shm.Init1)
	relaxed := newResponder(t, func(p *Terms) { p.Aware = config.AwareOn })
	want(t, ask(t, relaxed, shm.Request{Kind: shm.ActiveAnswer, ENOA: enoOption(0x02, 0x23), ENOB: enoOption(0x01, 0x23)}), shm.Init1)
}

func TestDisabledPolicyPassesEverything(t *testing.T) {
	r := newResponder(t, func(p *Terms) { p.Policy = flowtable.Disabled })
	checkEnd(t, r, shm.Request{Kind: shm.ActiveAnswer, ENOA: enoOption(0x23), ENOB: enoOption(0x01, 0x23)}, shm.Pass, PolicyDisabled)
	if got := r.Rules(); got.Policy != flowtable.Disabled {
		t.Errorf("the data plane is told %v", got.Policy)
	}
}

func TestNoKeysWithoutRandomness(t *testing.T) {
	h := untilInit1(t, newResponder(t, nil), newResponder(t, nil))
	for mode, by := range map[flowtable.Policy]shm.ReplyKind{flowtable.Opportunistic: shm.Pass, flowtable.Require: shm.Refuse} {
		for _, n := range []int{0, 7, 31, 40, 63} {
			p := everything()
			p.Policy = mode
			broken := &brokenAfter{}
			r, err := New(p, broken)
			if err != nil {
				t.Fatal(err)
			}
			broken.n = n
			checkEnd(t, r, h.answerRequest(), by, NoRandomness)
			broken.n = n
			checkEnd(t, r, h.passiveRequest(), shm.Abort, NoRandomness)
		}
	}
}

func TestConstantRandomnessMakesNoKey(t *testing.T) {
	p := everything()
	p.TEPs = []tcpcrypt.TEP{tcpcrypt.ECDHEP256}
	r, err := New(p, zeros{})
	if err != nil {
		t.Fatal(err)
	}
	checkEnd(t, r, shm.Request{Kind: shm.ActiveAnswer, ENOA: enoOption(0x21), ENOB: enoOption(0x01, 0x21)}, shm.Pass, NoRandomness)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestBadInit1AbortsWithItsOwnReason(t *testing.T) {
	a := newResponder(t, nil)
	for _, c := range []struct {
		name   string
		tep    tcpcrypt.TEP
		change func(m []byte) []byte
		reason Reason
	}{
		{"magic", 0x23, func(m []byte) []byte { m[0] ^= 1; return m }, InitMagic},
		{"magic of init2", 0x23, func(m []byte) []byte { copy(m, []byte{0x09, 0x71, 0x05, 0xe0}); return m }, InitMagic},
		{"message_len too small", 0x23, func(m []byte) []byte { copy(m[4:], []byte{0, 0, 0, 7}); return m }, InitLength},
		{"message_len huge", 0x23, func(m []byte) []byte { m[4] = 0xff; return m }, InitLength},
		{"message_len beyond the message", 0x23, func(m []byte) []byte { m[7]++; return m }, InitTruncated},
		{"bytes behind message_len", 0x23, func(m []byte) []byte { return append(m, 0) }, InitLength},
		{"cut", 0x23, func(m []byte) []byte { m = m[:len(m)-1]; m[7]--; return m }, InitTruncated},
		{"no ciphers", 0x23, func(m []byte) []byte { m[8] = 0; return m }, InitNoCiphers},
		{"unknown ciphers", 0x23, func(m []byte) []byte { copy(m[9:], []byte{0xf, 1, 0xf, 2, 0xf, 3}); return m }, NoCommonAEAD},
		{"zero point", 0x23, func(m []byte) []byte { clear(m[len(m)-32:]); return m }, PublicKeyInvalid},
		{"zero point", 0x24, func(m []byte) []byte { clear(m[len(m)-56:]); return m }, PublicKeyInvalid},
		{"pubkey_len", 0x21, func(m []byte) []byte { m[len(m)-34]++; return m }, PublicKeyFormat},
		{"uncompressed point", 0x21, func(m []byte) []byte { m[len(m)-33] = 4; return m }, PublicKeyInvalid},
		{"not on the curve", 0x22, func(m []byte) []byte { copy(m[len(m)-66:], bytes.Repeat([]byte{0xff}, 66)); return m }, PublicKeyInvalid},
	} {
		t.Run(c.tep.String()+"/"+c.name, func(t *testing.T) {
			b := newResponder(t, func(p *Terms) { p.TEPs = []tcpcrypt.TEP{c.tep} })
			h := untilInit1(t, a, b)
			h.init1 = c.change(bytes.Clone(h.init1))
			checkEnd(t, b, h.passiveRequest(), shm.Abort, c.reason)
		})
	}
}

func TestBadInit2AbortsWithItsOwnReason(t *testing.T) {
	b := newResponder(t, nil)
	a := newResponder(t, func(p *Terms) { p.AEADs = []tcpcrypt.AEAD{tcpcrypt.AES128GCM} })
	h, _ := untilInit2(t, a, b)
	for _, c := range []struct {
		name   string
		change func(m []byte) []byte
		reason Reason
	}{
		{"magic", func(m []byte) []byte { m[3] ^= 1; return m }, InitMagic},
		{"message_len", func(m []byte) []byte { m[4] = 1; return m }, InitLength},
		{"cut", func(m []byte) []byte { m = m[:len(m)-1]; m[7]--; return m }, InitTruncated},
		{"cipher that was not offered", func(m []byte) []byte { m[9] = 2; return m }, CipherNotOffered},
		{"zero point", func(m []byte) []byte { clear(m[len(m)-32:]); return m }, PublicKeyInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := h
			bad.init2 = c.change(bytes.Clone(h.init2))
			checkEnd(t, a, bad.activeRequest(), shm.Abort, c.reason)
		})
	}
	want(t, ask(t, a, h.activeRequest()), shm.Keys)
}

func TestHostileSecretAborts(t *testing.T) {
	a, b := newResponder(t, nil), newResponder(t, nil)
	h, _ := untilInit2(t, a, b)
	other := untilInit1(t, a, b)
	p256, _ := untilInit2(t, a, newResponder(t, func(p *Terms) { p.TEPs = []tcpcrypt.TEP{tcpcrypt.ECDHEP256} }))
	set := func(at int, v byte) []byte { s := bytes.Clone(h.secret); s[at] = v; return s }
	for _, c := range []struct {
		name   string
		secret []byte
		reason Reason
	}{
		{"one byte", []byte{1}, BadSecret},
		{"no scalar", []byte{1, 0x23, 0}, BadSecret},
		{"version", set(0, 2), BadSecret},
		{"length byte", set(2, 31), BadSecret},
		{"cut", h.secret[:len(h.secret)-1], BadSecret},
		{"too long", append(bytes.Clone(h.secret), 0), BadSecret},
		{"longest", bytes.Repeat([]byte{1}, shm.MaxSecret), BadSecret},
		{"scalar of another length", append([]byte{1, 0x23, 33}, make([]byte, 33)...), BadSecret},
		{"another TEP", set(1, 0x21), SecretMismatch},
		{"unknown TEP", set(1, 0xff), SecretMismatch},
		{"another handshake's", other.secret, SecretMismatch},
		{"changed scalar", set(10, h.secret[10]^0x55), SecretMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := h
			bad.secret = c.secret
			checkEnd(t, a, bad.activeRequest(), shm.Abort, c.reason)
		})
	}
	zero := p256
	zero.secret = append([]byte{1, 0x21, 32}, make([]byte, 32)...)
	checkEnd(t, a, zero.activeRequest(), shm.Abort, BadSecret)
	broken := h
	broken.init1 = bytes.Clone(h.init1)
	broken.init1[0] ^= 1
	checkEnd(t, a, broken.activeRequest(), shm.Abort, BadRequest)
}

func TestKeysAreNotMadeWhereNothingWasNegotiated(t *testing.T) {
	a, b := newResponder(t, nil), newResponder(t, nil)
	h, _ := untilInit2(t, a, b)
	for name, change := range map[string]func(h *handshake){
		"host B's option is of role A":  func(h *handshake) { h.enoB = enoOption(0x23) },
		"host A's option is ill-formed": func(h *handshake) { h.enoA = enoOption(0x80) },
		"nothing in common":             func(h *handshake) { h.enoA = enoOption(0x24); h.enoB = enoOption(0x01, 0x23) },
		"roles swapped":                 func(h *handshake) { h.enoA, h.enoB = h.enoB, h.enoA },
	} {
		t.Run(name, func(t *testing.T) {
			bad := h
			change(&bad)
			checkEnd(t, a, bad.activeRequest(), shm.Abort, NotNegotiated)
			checkEnd(t, b, bad.passiveRequest(), shm.Abort, NotNegotiated)
		})
	}
}

func TestAlteredENOOptionMakesKeysThatDoNotMatch(t *testing.T) {
	a, b := newResponder(t, nil), newResponder(t, nil)
	h := untilInit1(t, a, b)
	seenByB := h
	seenByB.enoA = enoOption(0x23) // a middlebox took the stronger TEPs out
	kb := want(t, ask(t, b, seenByB.passiveRequest()), shm.Keys)
	h.init2 = kb.Init
	ka := want(t, ask(t, a, h.activeRequest()), shm.Keys)
	if ka.Keys.SessionID == kb.Keys.SessionID || ka.Keys.Out == kb.Keys.In {
		t.Error("the change of the negotiation goes unnoticed")
	}
}

func TestBadPolicyIsRefusedAndTheOldOneStays(t *testing.T) {
	r := newResponder(t, nil)
	before := r.Rules()
	for name, change := range map[string]func(p *Terms){
		"no teps":      func(p *Terms) { p.TEPs = nil },
		"no aeads":     func(p *Terms) { p.AEADs = nil },
		"unknown tep":  func(p *Terms) { p.TEPs = []tcpcrypt.TEP{0x30} },
		"unknown aead": func(p *Terms) { p.AEADs = []tcpcrypt.AEAD{7} },
		"tep twice":    func(p *Terms) { p.TEPs = []tcpcrypt.TEP{0x23, 0x23} },
		"mode":         func(p *Terms) { p.Policy = flowtable.PolicyUnset },
		"awareness":    func(p *Terms) { p.Aware = "perhaps" },
	} {
		p := everything()
		change(&p)
		if err := r.SetTerms(p); !errors.Is(err, ErrTerms) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r.Rules() != before {
		t.Error("the rules have changed")
	}
	h := negotiated(t, r, r)
	want(t, ask(t, r, h.answerRequest()), shm.Init1)
}

func TestReasonsAreDistinctAndNamed(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Reasons() {
		if seen[r.String()] || r.String() == "" || r.String() == "unknown" || r.String() == "none" {
			t.Errorf("reason %d is %q", r, r)
		}
		seen[r.String()] = true
		if r.code() == shm.ReasonNone || r.code() == shm.ReasonInternal && r != Internal && r != BadRequest && r != NoRandomness {
			t.Errorf("%v is told as %v", r, r.code())
		}
	}
	if reasonOf(errors.New("x")) != Internal || NumReasons.String() != "unknown" {
		t.Error("what is no reason has one")
	}
}

func FuzzRequests(f *testing.F) {
	a, b := newResponder(f, nil), newResponder(f, nil)
	h, _ := untilInit2(f, a, b)
	for _, q := range []shm.Request{h.answerRequest(), h.passiveRequest(), h.activeRequest()} {
		f.Add(byte(q.Kind), q.ENOA, q.ENOB, q.Secret, q.Init1, q.Init2)
	}
	f.Fuzz(func(t *testing.T, kind byte, enoA, enoB, secret, init1, init2 []byte) {
		q := shm.Request{Kind: shm.RequestKind(kind), ENOA: enoA, ENOB: enoB, Secret: secret, Init1: init1, Init2: init2}
		var p shm.Reply
		a.Handle(&q, &p)
		if p.Kind == 0 {
			if q.Kind != shm.Closed {
				t.Fatalf("%v is not answered", q.Kind)
			}
			return
		}
		if _, err := p.Encode(make([]byte, p.Size())); err != nil {
			t.Fatalf("%v: reply %v cannot be sent: %v", q.Kind, p.Kind, err)
		}
	})
}
