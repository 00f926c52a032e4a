package worker

import (
	"encoding/binary"
	"testing"

	"linecrypt/flowtable"
)

func TestPeersThatFallTogetherUnderOneKeyDoNotUnderAnother(t *testing.T) {
	key := func(n uint32) *flowtable.Key {
		k := &flowtable.Key{Inside: [16]byte{0x20, 1, 15: 1}, Outside: [16]byte{0x20, 1, 0xd, 0xb8}}
		binary.BigEndian.PutUint32(k.Outside[4:], n)
		return k
	}
	victim := key(0)
	one, other := shares{key: flowtable.FoldKey{3, 4}}, shares{key: flowtable.FoldKey{5, 6}}
	hates, pairs := hates{key: other.key}, Pairs{key: other.key}
	same, sets, counts := 0, 0, 0
	for n, found := uint32(1), 0; found < 64; n++ {
		k := key(n)
		if one.place(k) != one.place(victim) {
			continue
		}
		found++
		if other.place(k) == other.place(victim) {
			same++
		}
		if hates.set(hateKey(&k.Outside)) == hates.set(hateKey(&victim.Outside)) {
			sets++
		}
		if pairs.index(k) == pairs.index(victim) {
			counts++
		}
	}
	if same > 2 || sets > 4 || counts > 1 {
		t.Errorf("of 64 peers that fall together under one key %d do under another; %d share a set, %d pairs are the same", same, sets, counts)
	}
}
