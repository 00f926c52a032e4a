package flowtable

import (
	"bytes"
	"testing"
)

func TestForgottenKeysAreNowhereInTheTableAndAddressesStay(t *testing.T) {
	l := Layout{Capacity: 8, Chunks: 4}
	raw := memory(l)
	table, err := New(raw, l, [2]uint64{1, 2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("THIS IS A SECRET")
	for n := range uint16(8) {
		k := Key{InsidePort: n + 1}
		i, _ := table.Insert(&k, table.Hash(&k), 1)
		r := table.Record(i)
		table.SetState(i, Encrypted)
		for _, at := range [][]byte{
			r.Rare.Seal.Master[:], r.Rare.Open.Master[:],
			r.Egress.NR[:], r.Ingress.NR[:], r.Local.PrevNR[:], r.Local.NextNR[:],
		} {
			copy(at, secret)
		}
		r.Egress.WNext = 77
	}
	// One that was killed between the state and the erasure.
	table.Record(3).State = Free
	table.ForgetKeys()
	if bytes.Contains(raw, secret[:12]) {
		t.Error("a secret is left")
	}
	found := 0
	table.Range(func(_ Index, r *Record) bool {
		if r.Key.InsidePort == 0 || r.Egress.WNext != 77 || r.State != Encrypted {
			t.Errorf("record %+v", r.Identity)
		}
		found++
		return true
	})
	if found != 7 {
		t.Errorf("%d records are left", found)
	}
}
