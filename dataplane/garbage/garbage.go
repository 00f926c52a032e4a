// Package garbage has the Go runtime collect garbage where there is some. Left to itself it collects every two minutes, however little has
// been allocated, and stops every worker for that: a data plane, whose packet path allocates nothing, must never wait for it.
package garbage

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// budget is by how many bytes the heap may grow before garbage is collected, and every how often that is looked at. What everything but the
// packet path allocates is little and rare.
const (
	budget = 32 << 20
	every  = time.Second
)

// Hold collects once, and from then on only when the heap has grown by 32 MiB since the last collection, which it looks at once a
// second, or when it comes to the limit of GOMEMLIMIT. That ends with a call of release, which sets what was set before. It is for the
// whole process: one at a time.
func Hold() (release func()) { return hold(budget, every) }

func hold(budget uint64, every time.Duration) (release func()) {
	percent := debug.SetGCPercent(-1) // this alone keeps the runtime from collecting because of the time
	h := &heap{}
	most := h.collect() + budget
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				if h.bytes() > most {
					most = h.collect() + budget
				}
			}
		}
	}()
	return func() {
		close(stop)
		<-done
		debug.SetGCPercent(percent)
	}
}

// heap asks the runtime for the size of the heap. It keeps where the answer goes, so that asking allocates nothing.
type heap struct{ sample [1]metrics.Sample }

// bytes is what all objects take, those among them that are garbage.
func (h *heap) bytes() uint64 {
	h.sample[0].Name = "/memory/classes/heap/objects:bytes"
	metrics.Read(h.sample[:])
	return h.sample[0].Value.Uint64()
}

// collect collects garbage and returns what is left.
func (h *heap) collect() uint64 {
	runtime.GC()
	return h.bytes()
}
