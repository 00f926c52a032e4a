package eno

import (
	"bytes"
	"testing"
)

func TestAwareBitIsSetAndNothingElseChanges(t *testing.T) {
	for name, o := range map[string]Offer{
		"without a global suboption": {TEPs: []TEP{0x23, 0x21}},
		"with role B":                {Global: Global{Role: B}, TEPs: []TEP{0x23}},
		"aware already":              {Global: Global{Aware: true}, TEPs: []TEP{0x23}},
		"explicit zero":              {Global: Global{Explicit: true}, TEPs: []TEP{0x23}},
		"with data":                  {TEPs: []TEP{0x21}, Resume: Suboption{0xa3, 1, 2, 3}},
		"of nothing":                 {},
	} {
		option, err := AppendOffer(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		o.Aware = true
		want, err := AppendOffer(nil, o)
		if err != nil {
			t.Fatal(err)
		}
		if got := AppendAware([]byte{9}, option, 40); !bytes.Equal(got[1:], want) {
			t.Errorf("%s: % x became % x, not % x", name, option, got[1:], want)
		}
	}
}

func TestOptionStaysAsItIsWhereThereIsNoRoomForTheAwareBit(t *testing.T) {
	option := []byte{Kind, 3, 0x23}
	if got := AppendAware(nil, option, 3); !bytes.Equal(got, option) {
		t.Errorf("% x", got)
	}
	if got := AppendAware(nil, []byte{Kind, 4, 1, 0x23}, 4); !bytes.Equal(got, []byte{Kind, 4, 3, 0x23}) {
		t.Errorf("% x", got)
	}
	long := append([]byte{Kind, 40}, bytes.Repeat([]byte{0x23}, 38)...)
	for _, raw := range [][]byte{long, nil, {Kind}, {Kind, 9, 0x23}} {
		if got := AppendAware(nil, raw, 99); !bytes.Equal(got, raw) {
			t.Errorf("% x became % x", raw, got)
		}
	}
}

func TestAwareBitGoesIntoTheGlobalSuboptionWhereverThatLies(t *testing.T) {
	for before, after := range map[string]string{
		"23 01":                  "23 03",
		"23 21 00 01":            "23 21 02 01",
		"80 a3 01 01":            "80 a3 01 03",
		"a3 010203":              "02 a3 010203", // data, and no global suboption
		"81 a1 0102 23 1d a4 05": "81 a1 0102 23 1f a4 05",
	} {
		if got, want := AppendAware(nil, option(t, before), 40), option(t, after); !bytes.Equal(got, want) {
			t.Errorf("%s: % x, not % x", before, got, want)
		}
	}
}

func FuzzAppendAware(f *testing.F) {
	f.Add([]byte{Kind, 4, 1, 0x23}, 40)
	f.Add([]byte{Kind, 4, 0x23, 1}, 40)
	f.Fuzz(func(t *testing.T, raw []byte, room int) {
		got := AppendAware(nil, raw, room)
		before, err := Parse(raw)
		if err != nil {
			return
		}
		after, err := Parse(got)
		if err != nil || len(got) > max(len(raw), room) || after.Role() != before.Role() || len(after.Suboptions) != len(before.Suboptions) {
			t.Fatalf("% x became % x: %v", raw, got, err)
		}
	})
}
