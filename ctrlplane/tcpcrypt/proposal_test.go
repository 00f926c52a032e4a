package tcpcrypt

import (
	"bytes"
	"testing"
)

func sub(first byte, n int) []byte { return append([]byte{first}, make([]byte, n)...) }

func TestSuboptionsAreProposals(t *testing.T) {
	for _, c := range []struct {
		name string
		sub  []byte
		want Proposal
	}{
		{"v = 0", sub(0x23, 0), Fresh},
		{"v = 1 without data, as v = 0", sub(0xa3, 0), Fresh},
		{"v = 1 with 8 bytes, as v = 0", sub(0xa3, 8), Fresh},
		{"v = 1 with an identifier half", sub(0xa3, 9), Resume},
		{"v = 1 with the longest nonce", sub(0xa3, 17), Resume},
		{"nonce too long", sub(0xa3, 18), Malformed},
		{"no tcpcrypt TEP", sub(0x25, 0), Malformed},
		{"data with v = 0", sub(0x23, 9), Malformed},
		{"nothing", nil, Malformed},
	} {
		s := ReadSuboption(c.sub)
		if s.Proposal != c.want {
			t.Errorf("%s: got %v, want %v", c.name, s.Proposal, c.want)
		}
		if s.Proposal == Resume && (len(s.Half) != 9 || len(s.Nonce) != len(c.sub)-10) {
			t.Errorf("%s: half of %d bytes, nonce of %d", c.name, len(s.Half), len(s.Nonce))
		}
	}
}

func TestSuboptionValidity(t *testing.T) {
	known := func(a, b Suboption) bool { return true }
	unknown := func(a, b Suboption) bool { return false }
	for _, c := range []struct {
		name    string
		a, b    []byte
		resumes func(a, b Suboption) bool
		want    bool
	}{
		{"both fresh", sub(0x23, 0), sub(0x23, 0), nil, true},
		{"resumption offered, fresh answered", sub(0xa3, 17), sub(0x23, 0), nil, true},
		{"short data offered, fresh answered", sub(0xa3, 8), sub(0x23, 0), nil, true},
		{"resumption offered and answered", sub(0xa3, 17), sub(0xa3, 17), known, true},
		{"answer does not match", sub(0xa3, 17), sub(0xa3, 17), unknown, false},
		{"resumption without a cache", sub(0xa3, 17), sub(0xa3, 17), nil, false},
		{"resumption answered unasked", sub(0x23, 0), sub(0xa3, 17), known, false},
		{"resumption answered to short data", sub(0xa3, 8), sub(0xa3, 17), known, false},
		{"malformed offer", sub(0xa3, 18), sub(0x23, 0), known, false},
		{"malformed answer", sub(0x23, 0), sub(0xa3, 18), known, false},
		{"different TEPs", sub(0x23, 0), sub(0x24, 0), known, false},
		{"another protocol's TEP", sub(0x30, 0), sub(0x30, 0), known, false},
	} {
		if got := ValidSuboptions(c.a, c.b, c.resumes); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

func TestResumptionSuboptionCarriesTheHalfOfTheOriginalRole(t *testing.T) {
	var id [ResumeIDLen]byte
	for i := range id {
		id[i] = byte(i)
	}
	nonce := []byte{0xaa, 0xbb}
	for d, want := range map[Direction][]byte{AB: id[:9], BA: id[9:]} {
		got := AppendResume([]byte{1}, ECDHECurve448, id, d, nonce)
		s := ReadSuboption(got[1:])
		if got[1] != 0xa4 || s.Proposal != Resume || !bytes.Equal(s.Half, want) || !bytes.Equal(s.Nonce, nonce) {
			t.Errorf("%v: %x", d, got)
		}
	}
}

func TestNamesRoundTrip(t *testing.T) {
	for _, tep := range TEPs() {
		if got, err := ParseTEP(tep.String()); err != nil || got != tep {
			t.Errorf("%v: %v, %v", tep, got, err)
		}
	}
	for _, aead := range AEADs() {
		if got, err := ParseAEAD(aead.String()); err != nil || got != aead {
			t.Errorf("%v: %v, %v", aead, got, err)
		}
	}
	for _, name := range []string{"", "ecdhe_p256", "AES128GCM", "TEP(0x00)"} {
		if _, err := ParseTEP(name); err == nil {
			t.Errorf("TEP %q accepted", name)
		}
		if _, err := ParseAEAD(name); err == nil {
			t.Errorf("AEAD %q accepted", name)
		}
	}
	if AB.Reverse() != BA || BA.Reverse() != AB || AB.String() == BA.String() {
		t.Error("directions")
	}
}
