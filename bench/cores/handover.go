package cores

import (
	"sync/atomic"
	"time"
)

// handovers is how often Handover sends a line there and back: some 2 ms.
const handovers = 4000

// Handover measures how long, in ns, one core waits for a line of the cache that another has just written: half a round trip. It tells how far
// from each other two cores are at the moment, which changes where a virtual machine's are not fixed. The two must differ.
func Handover(a, b int) (float64, error) {
	undo, err := Pin(a)
	if err != nil {
		return 0, err
	}
	defer undo()
	var ball atomic.Int64 // odd: a has written it
	ready := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		undo, err := Pin(b)
		ready <- err
		if err != nil {
			return
		}
		defer undo()
		for i := range int64(handovers) {
			for ball.Load() != 2*i+1 {
			}
			ball.Store(2*i + 2)
		}
	}()
	if err := <-ready; err != nil {
		return 0, err
	}
	began := time.Now()
	for i := range int64(handovers) {
		ball.Store(2*i + 1)
		for ball.Load() != 2*i+2 {
		}
	}
	took := time.Since(began)
	<-done
	return float64(took.Nanoseconds()) / (2 * handovers), nil
}
