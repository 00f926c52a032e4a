package worker

import (
	"fmt"
	"testing"
)

func TestPacketPathAllocatesNothing(t *testing.T) {
	for _, flows := range []int{1, 1000} {
		for _, size := range []int{64, 1380} {
			name := fmt.Sprintf("flows=%d/payload=%d/", flows, size)
			t.Run(name+"seal", func(t *testing.T) {
				p := newPath(t, flows, size, (*rig).openPassive)
				demandNone(t, func() { p.seal(4096) })
			})
			t.Run(name+"open", func(t *testing.T) {
				p := newPath(t, flows, size, (*rig).openPassive)
				round := p.prepareOpen()
				demandNone(t, func() {
					p.open(round)
					p.rewind()
				})
			})
			t.Run(name+"pass", func(t *testing.T) {
				p := newPath(t, flows, size, (*rig).openPlain)
				demandNone(t, func() { p.forward(4096) })
			})
		}
	}
}

// demandNone runs a thousand packets or more at a time, so that not even one in many may allocate. What makes no packet
// path of the worker's, the closures of the harness, does not count.
func demandNone(t *testing.T, packets func()) {
	t.Helper()
	packets()
	const harness = 8
	if n := testing.AllocsPerRun(3, packets); n > harness {
		t.Errorf("%v allocations in thousands of packets", n)
	}
}
