package hosts

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// Direction says which way a frame goes on a link.
type Direction int

// The directions: from the client's side to the server's, and back.
const (
	ToServer Direction = iota
	ToClient
)

// String returns an arrow for a trace in which the client is on the left.
func (d Direction) String() string {
	if d == ToServer {
		return "->"
	}
	return "<-"
}

// Impairment is what a link does to frames. Shares are of 1. The zero value is a perfect link.
type Impairment struct {
	Loss      float64
	Duplicate float64
	Reorder   float64       // share of frames that are held back while up to eight others overtake them
	Delay     time.Duration // of every frame, whose order stays; Reorder is of no effect then
	Split     float64       // share of TCP segments with payload that are cut in two, as a middlebox may
	Seed      uint64
	// Edit sees each frame first, and may change it in place; false drops it. Each direction calls it from a goroutine of its
	// own.
	Edit func(d Direction, frame []byte) bool
}

// station is one end of a link: a host's interface or the far side of a memory port.
type station interface {
	// Inject gives a frame to the device, and reports false when it has no room.
	Inject(frame []byte) bool
	// Collect copies the next frame from the device into buf.
	Collect(buf []byte) (n int, ok bool)
	// Wait blocks until there may be a frame to collect; false when stop is closed first.
	Wait(stop <-chan struct{}) bool
}

// Link carries frames between two stations and keeps a trace of them.
type Link struct {
	Name  string
	Trace Trace

	mu   sync.Mutex
	imp  Impairment
	tap  func(d Direction, frame []byte)
	stop chan struct{}
	done sync.WaitGroup
}

func newLink(name string, imp Impairment) *Link {
	return &Link{Name: name, imp: imp, stop: make(chan struct{})}
}

// Impair changes what the link does to frames from now on.
func (l *Link) Impair(imp Impairment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.imp = imp
}

// Tap has f called with every frame that is put on the link, before any impairment; f must not keep the frame.
func (l *Link) Tap(f func(d Direction, frame []byte)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tap = f
}

// start joins the stations.
func (l *Link) start(client, server station) {
	seed := l.imp.Seed
	l.done.Go(func() { l.pump(ToServer, client, server, rand.New(rand.NewPCG(seed, 1))) })
	l.done.Go(func() { l.pump(ToClient, server, client, rand.New(rand.NewPCG(seed, 2))) })
}

// close ends both directions.
func (l *Link) close() {
	close(l.stop)
	l.done.Wait()
}

// held is a frame that others overtake.
type held struct {
	frame []byte
	after int // frames
	until time.Time
}

const (
	maxFrame  = 4096
	holdFor   = 20 * time.Millisecond // a held frame goes on at the latest then
	overtake  = 8
	idleSleep = time.Millisecond
)

// pump moves frames one way until the link is closed.
func (l *Link) pump(d Direction, from, to station, rnd *rand.Rand) {
	buf := make([]byte, maxFrame)
	var late []held
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		n, ok := from.Collect(buf)
		if ok {
			late = l.carry(d, buf[:n], to, rnd, late)
		}
		late = l.release(to, late, ok)
		if ok {
			continue
		}
		if len(late) > 0 {
			time.Sleep(idleSleep)
		} else if !from.Wait(l.stop) {
			return
		}
	}
}

// carry puts one frame through the impairments.
func (l *Link) carry(d Direction, frame []byte, to station, rnd *rand.Rand, late []held) []held {
	l.mu.Lock()
	imp, tap := l.imp, l.tap
	l.mu.Unlock()
	if tap != nil {
		tap(d, frame)
	}
	if imp.Edit != nil && !imp.Edit(d, frame) || rnd.Float64() < imp.Loss {
		l.Trace.add(d, frame, true)
		return late
	}
	if rnd.Float64() < imp.Split {
		if head, tail, ok := split(frame, rnd); ok {
			l.Trace.add(d, head, false)
			l.deliver(to, head)
			frame = tail
		}
	}
	l.Trace.add(d, frame, false)
	if rnd.Float64() < imp.Duplicate {
		l.deliver(to, frame)
	}
	if imp.Delay > 0 {
		return append(late, held{frame: append([]byte(nil), frame...), after: math.MaxInt, until: time.Now().Add(imp.Delay)})
	}
	if rnd.Float64() < imp.Reorder {
		return append(late, held{frame: append([]byte(nil), frame...), after: 1 + rnd.IntN(overtake), until: time.Now().Add(holdFor)})
	}
	l.deliver(to, frame)
	return late
}

// release sends held frames on whose time has come. Passed says that another frame came by.
func (l *Link) release(to station, late []held, passed bool) []held {
	rest := late[:0]
	for _, h := range late {
		if passed {
			h.after--
		}
		if h.after >= 0 && time.Now().Before(h.until) {
			rest = append(rest, h)
			continue
		}
		l.deliver(to, h.frame)
	}
	return rest
}

// deliver waits for room, so that a perfect link loses nothing.
func (l *Link) deliver(to station, frame []byte) {
	for !to.Inject(frame) {
		select {
		case <-l.stop:
			return
		case <-time.After(idleSleep):
		}
	}
}
