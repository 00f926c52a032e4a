package packetpath

import "testing"

func TestAnyNumberOfFlowsIsSetUp(t *testing.T) {
	for _, plain := range []bool{false, true} {
		for _, flows := range []int{1, 2, 65, 100, 300, 513, 700} {
			w, err := New(Options{Flows: flows, Plain: plain})
			if err != nil {
				t.Error(err)
				continue
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
