package packetpath

import (
	"strings"
	"testing"
)

func TestPathsAreComparedTurnByTurnWithoutTheAEAD(t *testing.T) {
	took := func(ns ...float64) (runs []Result) {
		for _, n := range ns {
			runs = append(runs, Result{Case: Seal, Path: "full", Flows: 7, Size: 64, NsSegment: n + 50, NsAEAD: 50})
		}
		return runs
	}
	full := took(400, 90, 300)
	x := OutsideAEAD(full, took(200, 30, 100, 1)) // the last turn was interrupted
	if x == nil || *x != (Ratio{Median: 3, Lowest: 2, Highest: 3}) {
		t.Fatalf("%+v", x)
	}
	if x := OutsideAEAD(full, nil); x != nil {
		t.Errorf("of no turn: %+v", x)
	}
	full[0].OverFast = x
	var text strings.Builder
	if err := WriteText(&text, full[:1]); err != nil || !strings.HasSuffix(text.String(), "seal, 7 flows, 64 bytes: 3.00 (2.00 to 3.00)\n") {
		t.Errorf("%v: %s", err, text.String())
	}
}
