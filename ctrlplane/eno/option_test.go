package eno

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// unhex decodes hex digits; spaces are for the reader.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// option returns an ENO option with the given contents.
func option(t testing.TB, contents string) []byte {
	t.Helper()
	c := unhex(t, contents)
	return append([]byte{Kind, byte(2 + len(c))}, c...)
}

func parsed(t *testing.T, contents string) Option {
	t.Helper()
	o, err := Parse(option(t, contents))
	if err != nil {
		t.Fatalf("%s: %v", contents, err)
	}
	return o
}

func TestSuboptionsAreReadByTable1(t *testing.T) {
	for _, c := range []struct{ contents, suboptions string }{
		{"", "[]"},
		{"01", "[]"},
		{"21 23", "[21 23]"},
		{"01 23 22", "[23 22]"},
		{"20 7f", "[20 7f]"},
		{"a3", "[a3]"},
		{"a3 01 23 85", "[a3012385]"},
		{"21 a3 0102030405060708090a", "[21 a30102030405060708090a]"},
		{"80 a3 ff 21", "[a3ff 21]"},
		{"81 a3 0102 80 a4 ff 21", "[a30102 a4ff 21]"},
		{"82 ff 010203", "[ff010203]"},
		{"9f a3 " + strings.Repeat("aa", 32) + "21", "[a3" + strings.Repeat("aa", 32) + " 21]"},
		{"a3 " + strings.Repeat("bb", 37), "[a3" + strings.Repeat("bb", 37) + "]"},
		{"23 23 a3", "[23 23 a3]"},
	} {
		o := parsed(t, c.contents)
		var all []string
		for _, s := range o.Suboptions {
			all = append(all, fmt.Sprintf("%x", []byte(s)))
		}
		if got := fmt.Sprint(all); got != c.suboptions {
			t.Errorf("%s: got %s, want %s", c.contents, got, c.suboptions)
		}
	}
}

func TestSuboptionTellsTEPVBitAndData(t *testing.T) {
	o := parsed(t, "81 a3 0102 24 ff")
	for i, want := range []struct {
		tep  TEP
		v    bool
		data string
	}{{0x23, true, "0102"}, {0x24, false, ""}, {0x7f, true, ""}} {
		s := o.Suboptions[i]
		if s.TEP() != want.tep || s.V() != want.v || fmt.Sprintf("%x", s.Data()) != want.data {
			t.Errorf("suboption %x reads as 0x%02x %v %x", []byte(s), s.TEP(), s.V(), s.Data())
		}
	}
}

func TestIllFormedSYNOptionIsIgnored(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want Reason
	}{
		{"", BadLength},
		{"45", BadLength},
		{"4503", BadLength},
		{"4502 00", BadLength},
		{"4501", BadLength},
		{"4403 23", BadLength},
		{"4503 80", DataBeyondEnd},
		{"4504 80 a3", DataBeyondEnd},
		{"4505 81 a3 ff", DataBeyondEnd},
		{"4506 9f a3 ffff", DataBeyondEnd},
		{"4505 23 80 a3", DataBeyondEnd},
		{"4505 80 23 ff", LengthWithoutTEP},
		{"4505 80 00 ff", LengthWithoutTEP},
		{"4505 80 9f ff", LengthWithoutTEP},
		{"4504 80 80", LengthWithoutTEP},
		{"4506 80 80 a3 ff", LengthWithoutTEP},
	} {
		if _, err := Parse(unhex(t, c.raw)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.raw, err, c.want)
		}
	}
}

func TestLengthByteBeforeEveryOctetBelowA0IsRefused(t *testing.T) {
	for next := 0; next < 256; next++ {
		_, err := Parse([]byte{Kind, 5, 0x80, byte(next), 0xff})
		if refused := errors.Is(err, LengthWithoutTEP); refused != (next < 0xa0) {
			t.Errorf("length byte before 0x%02x: %v", next, err)
		}
	}
}

func TestOnlyTheFirstGlobalSuboptionCounts(t *testing.T) {
	for _, c := range []struct {
		contents string
		role     Role
		aware    bool
	}{
		{"01 00 02 23", B, false},
		{"23 00 03", A, false},
		{"02 23 01", A, true},
		{"03 00", B, true},
	} {
		if o := parsed(t, c.contents); o.Role() != c.role || o.Aware() != c.aware || !o.Explicit {
			t.Errorf("%s: role %v, aware %v", c.contents, o.Role(), o.Aware())
		}
	}
}

func TestReservedGlobalBitsAreIgnored(t *testing.T) {
	for z := 0; z < 8; z++ {
		for low := 0; low < 4; low++ {
			o := parsed(t, fmt.Sprintf("%02x 23", z<<2|low))
			if o.Role() != []Role{A, B}[low&1] || o.Aware() != (low&2 != 0) {
				t.Errorf("z bits %03b change %02b", z, low)
			}
		}
	}
}

func TestMissingGlobalSuboptionIsZero(t *testing.T) {
	if o := parsed(t, "23"); o.Global != 0 || o.Explicit || o.Role() != A || o.Aware() {
		t.Errorf("got %+v", o)
	}
}

func TestSYNTEPIsTheLastTEPIdentifier(t *testing.T) {
	if tep, ok := parsed(t, "23 a4 ff").SYNTEP(); tep != 0x24 || !ok {
		t.Errorf("got 0x%02x, %v", tep, ok)
	}
	if _, ok := parsed(t, "01").SYNTEP(); ok {
		t.Error("a vacuous option has a SYN TEP")
	}
}

func TestFindsTheENOOptionAmongTCPOptions(t *testing.T) {
	for _, c := range []struct {
		name, options, want string
		err                 error
	}{
		{"linux syn", "020405b4 0402 080a0102030400000000 01 030307 45040123", "45040123", nil},
		{"first", "45040123 020405b4", "45040123", nil},
		{"vacuous", "4502", "4502", nil},
		{"after end of list", "020405b4 00 45040123", "", NoOption},
		{"inside another option", "fd06 45040123", "", NoOption},
		{"no options", "", "", NoOption},
		{"two", "45040123 45040123", "", SeveralOptions},
		{"two, one vacuous", "4502 01 45040123", "", SeveralOptions},
		{"kind without length", "45", "", MalformedOptions},
		{"length beyond the end", "450401", "", MalformedOptions},
		{"length 0", "45040123 0200", "", MalformedOptions},
		{"length 1", "0201 45040123", "", MalformedOptions},
	} {
		got, err := FindSYN(unhex(t, c.options))
		if !errors.Is(err, c.err) || !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: got %x, %v, want %s, %v", c.name, got, err, c.want, c.err)
		}
	}
}

func TestNonSYNOptionIsOneBitWhateverItHolds(t *testing.T) {
	for options, want := range map[string]bool{
		"":                               false,
		"0101080a0102030401020304":       false,
		"4502":                           true,
		"4505808080":                     true,
		"4502 4502":                      true,
		"0101080a0102030401020304 4502":  true,
		"00 4502":                        false,
		"4502 0200":                      false,
		"0101080a01020304010203044502ff": false,
	} {
		raw := unhex(t, options)
		if FindNonSYN(raw) != want {
			t.Errorf("%s: present is not %v", options, want)
		}
		if errors.Is(CheckACK(raw), NoOptionInACK) == want {
			t.Errorf("%s: CheckACK says %v", options, CheckACK(raw))
		}
	}
}

func TestNonSYNOptionIsSentWithoutContents(t *testing.T) {
	if got := AppendNonSYN([]byte{9}); !bytes.Equal(got, []byte{9, 69, 2}) {
		t.Errorf("got %x", got)
	}
}

func TestFindingAnOptionDoesNotAllocate(t *testing.T) {
	raw := unhex(t, "020405b4 0402 080a0102030400000000 01 030307 45040123")
	if n := testing.AllocsPerRun(100, func() {
		if _, err := FindSYN(raw); err != nil || !FindNonSYN(raw) {
			t.Fatal("not found")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"4502", "45040023", "45040123", "450323", "4514a3f49b4a2364a4f7fd66081c532c389a3dca", "4506809f00ff", "450781a3010224a1", "45039f"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := Parse(raw)
		if err != nil {
			if ReasonOf(err) == ReasonNone {
				t.Fatalf("no reason: %v", err)
			}
			return
		}
		canonical, err := Append(nil, Global{o.Role(), o.Aware(), o.Explicit}, o.Suboptions...)
		if err != nil {
			if len(raw) > MaxOption {
				return
			}
			t.Fatalf("%x does not encode again: %v", raw, err)
		}
		again, err := Parse(canonical)
		if err != nil || again.Role() != o.Role() || again.Aware() != o.Aware() || fmt.Sprint(again.Suboptions) != fmt.Sprint(o.Suboptions) {
			t.Fatalf("%x encodes again as %x: %v", raw, canonical, err)
		}
	})
}

func FuzzFind(f *testing.F) {
	for _, s := range []string{"45040123", "020405b401450245024500", "00", "01", "4501"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, options []byte) {
		raw, err := FindSYN(options)
		if (err == nil) != (raw != nil) {
			t.Fatalf("%x, %v", raw, err)
		}
		if err == nil && (raw[0] != Kind || int(raw[1]) != len(raw) || !bytes.Contains(options, raw)) {
			t.Fatalf("found %x in %x", raw, options)
		}
		if err == nil && !FindNonSYN(options) {
			t.Fatal("found as SYN form only")
		}
	})
}
