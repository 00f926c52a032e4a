package worker

import (
	"testing"

	"linecrypt/flowtable"
)

func pathTable(t *testing.T) (*paths, *flowtable.Table) {
	t.Helper()
	layout := flowtable.Layout{Capacity: 1, Chunks: 2}
	table, err := flowtable.New(alignedBytes(flowtable.Size(layout)), layout, [2]uint64{1, 2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	p := new(paths)
	p.init()
	return p, table
}

func v4Path(a, b, c, d byte) *pathKey {
	k := &pathKey{side: outside}
	copy(k.addr[10:], []byte{0xff, 0xff, a, b, c, d})
	return k
}

func TestPathThatShrinksOverAndOverIsFollowedAtAPace(t *testing.T) {
	p, table := pathTable(t)
	k := v4Path(10, 0, 0, 1)
	const first = 1500
	p.learn(table, k, first, 1)
	for i := range uint16(100) {
		p.learn(table, k, first-1-i, int64(2+i))
	}
	if mtu := p.lookup(table, k); mtu != first-pathSteps {
		t.Errorf("MTU %d at once, want %d", mtu, first-pathSteps)
	}
	if p.learn(table, k, 1280, 1+pathSteps+pathPause); p.lookup(table, k) != 1280 {
		t.Error("the last MTU is not learned later on")
	}
}

func TestPathMTUOnlyShrinksUntilItExpires(t *testing.T) {
	p, table := pathTable(t)
	k := v4Path(10, 0, 0, 1)
	steps := []struct {
		mtu        uint16
		now        int64
		want       pathNews
		know       uint16
		sameAsLast bool
	}{
		{1400, 1, pathLearned, 1400, false},
		{1400, 2, pathKnown, 1400, true},
		{1450, 3, pathKnown, 1400, true},
		{1200, 4, pathLearned, 1200, false},
		{0, 5, pathKnown, 1200, true},
	}
	for _, s := range steps {
		gen := p.gen
		if news := p.learn(table, k, s.mtu, s.now); news != s.want || p.lookup(table, k) != s.know || (p.gen == gen) != s.sameAsLast {
			t.Errorf("%d: %v, then %d, generation %d to %d", s.mtu, news, p.lookup(table, k), gen, p.gen)
		}
	}
	for _, other := range []*pathKey{v4Path(10, 0, 0, 2), {addr: k.addr, vlan: 7, side: outside}, {addr: k.addr, side: inside}} {
		if mtu := p.lookup(table, other); mtu != 0 {
			t.Errorf("another path has an MTU of %d", mtu)
		}
	}
	p.expire(4 + pathLife - 1)
	if p.lookup(table, k) != 1200 {
		t.Error("forgotten too early")
	}
	gen := p.gen
	if p.expire(4 + pathLife + pathSweep); p.lookup(table, k) != 0 || p.gen == gen || p.used != 0 {
		t.Error("not forgotten")
	}
}

func TestWhoHasManyAddressesPushesOutItsOwnPaths(t *testing.T) {
	p, table := pathTable(t)
	var honest []*pathKey
	for i := range 16 {
		k := v4Path(192, 0, byte(i), 1)
		honest = append(honest, k)
		p.learn(table, k, 1400, int64(i))
	}
	evicted := 0
	for i := range 1 << 16 {
		k := &pathKey{addr: [16]byte{0x20, 1, 0xd, 0xb8, 8: 1, 14: byte(i >> 8), 15: byte(i)}, side: outside}
		if p.learn(table, k, 1300, int64(1000+i)) == pathEvicted {
			evicted++
		}
	}
	if evicted == 0 || p.used > pathSets*pathWays {
		t.Fatalf("%d evicted, %d used", evicted, p.used)
	}
	for i, k := range honest {
		if p.lookup(table, k) != 1400 {
			t.Errorf("path %d was pushed out", i)
		}
	}
}

func TestFullSetLosesTheOldestOfEqualShares(t *testing.T) {
	var s pathSet
	for i := range s {
		s[i] = knownPath{key: *v4Path(10, 0, byte(i), 1), mtu: 1400, learned: int64(100 - i)}
	}
	if v := s.victim(); v != &s[pathWays-1] {
		t.Errorf("the one learned at %d goes", v.learned)
	}
}
