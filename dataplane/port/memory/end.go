package memory

import (
	"fmt"
	"sync"

	"linecrypt/dataplane/mbuf"
)

// End is the far side of a port, for a test or an emulated host: frames in and out as byte slices, from any goroutine.
// Unlike the port's own queues it takes locks.
type End struct {
	rss  bool
	to   []*ring // towards the port
	from []*ring // from the port
	bell chan struct{}

	inject  sync.Mutex
	collect sync.Mutex
	next    int // the queue Collect looks at first
}

// NewEnd returns a port with one queue for each cache, and its far side.
func NewEnd(name string, opt Options, caches []*mbuf.Cache) (*Port, *End, error) {
	opt = opt.withDefaults()
	if err := opt.check(caches); err != nil {
		return nil, nil, fmt.Errorf("memory port %s: %w", name, err)
	}
	e := &End{rss: opt.RSS, to: opt.rings(len(caches)), from: opt.rings(len(caches)), bell: make(chan struct{}, 1)}
	for _, r := range e.from {
		r.wake = func() {
			select {
			case e.bell <- struct{}{}:
			default:
			}
		}
	}
	p, err := newPort(name, opt, e.to, e.from, caches)
	if err != nil {
		return nil, nil, err
	}
	return p, e, nil
}

// Inject sends a copy of frame to the port: to queue 0, or with Options.RSS to the queue its FlowHash chooses. It reports
// false when the frame is too long or the ring is full.
func (e *End) Inject(frame []byte) bool {
	queue := 0
	if e.rss {
		queue = int(FlowHash(frame) % uint32(len(e.to)))
	}
	return e.InjectQueue(queue, frame)
}

// InjectQueue is Inject to a given queue.
func (e *End) InjectQueue(queue int, frame []byte) bool {
	e.inject.Lock()
	defer e.inject.Unlock()
	r := e.to[queue]
	slot := r.reserve()
	if slot == nil || len(frame) > len(slot) {
		return false
	}
	r.commit(copy(slot, frame))
	r.notify()
	return true
}

// Collect copies the next frame the port sent into buf and returns its length; ok is false when there is none. A frame
// longer than buf is cut off. Frames of one queue come in order.
func (e *End) Collect(buf []byte) (n int, ok bool) {
	e.collect.Lock()
	defer e.collect.Unlock()
	for range e.from {
		r := e.from[e.next]
		if frame := r.peek(); frame != nil {
			n = copy(buf, frame)
			r.pop()
			return n, true
		}
		e.next = (e.next + 1) % len(e.from)
	}
	return 0, false
}

// Wait blocks until a frame may be there to collect, or until stop is closed, and reports which: false means stopped.
// Only one goroutine may wait at a time.
func (e *End) Wait(stop <-chan struct{}) bool {
	if e.armAll() {
		return true
	}
	select {
	case <-e.bell:
		return true
	case <-stop:
		return false
	}
}

// armAll asks every ring for a wake-up and reports whether a frame is there already.
func (e *End) armAll() bool {
	e.collect.Lock()
	defer e.collect.Unlock()
	ready := false
	for _, r := range e.from {
		if !r.arm() {
			ready = true
		}
	}
	return ready
}
