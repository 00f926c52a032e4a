package packetpath

import (
	"slices"
	"testing"
)

func TestNumbersReadsAListAndRefusesTheRest(t *testing.T) {
	to := []int{7}
	read := Numbers(&to, 1, 100)
	for _, bad := range []string{"", "0", "101", "1,,2", "x", "1 2", "-1"} {
		if read(bad) == nil {
			t.Errorf("%q is read as %v", bad, to)
		}
	}
	if !slices.Equal(to, []int{7}) {
		t.Errorf("what was refused has changed it: %v", to)
	}
	if err := read("1,64,1,100"); err != nil || !slices.Equal(to, []int{1, 64, 100}) {
		t.Errorf("%v, %v", to, err)
	}
}
