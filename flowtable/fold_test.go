package flowtable

import "testing"

func TestFoldedPeersSpreadOverAllPlaces(t *testing.T) {
	for _, key := range []FoldKey{{}, {1, 2}, NewFoldKey()} {
		var counts [256]int
		const n = 256 * 64
		for i := range uint64(n) {
			counts[key.Fold(i<<8, 0)>>56]++
		}
		for i, c := range counts {
			if c == 0 || c > 4*64 {
				t.Fatalf("key %x: %d of %d peers are in place %d", key, c, n, i)
			}
		}
	}
}
