// Package history keeps what a gateway did in the last ten minutes, a point a second, in memory of a fixed size, and tells those who follow each new
// point. Whoever follows too slowly loses points, and holds up nobody.
package history

import (
	"sync"
	"time"

	"linecrypt/ctrlplane/sample"
	"linecrypt/ctrlplane/shm"
)

// Sizes of a tail.
const (
	Interval     = time.Second
	Points       = 600
	maxFollowers = 16
	backlog      = 4 // points that a follower may be behind
)

// Point is one second of a gateway.
type Point struct {
	Time       int64              `json:"t"` // unix time in ms
	Workers    []Worker           `json:"workers"`
	Sealed     float64            `json:"sealed"` // bit/s of data
	Opened     float64            `json:"opened"`
	Clear      float64            `json:"clear"`
	Handshakes float64            `json:"handshakes"` // a second
	Plain      float64            `json:"plain"`
	Refused    float64            `json:"refused"`
	Aborted    float64            `json:"aborted"`
	Encrypted  uint64             `json:"encrypted"` // connections now
	InClear    uint64             `json:"in_clear"`
	Drops      map[string]float64 `json:"drops"` // packets a second by name, those that are not zero
}

// Worker is one worker in a Point.
type Worker struct {
	Core    int                    `json:"core"`
	Packets float64                `json:"pps"`
	Bits    float64                `json:"bps"`
	Busy    float64                `json:"busy"` // 0 to 1
	Lost    float64                `json:"lost"` // packets a second
	Cycles  [shm.NumStages]float64 `json:"cycles"`
}

// Tail is the last points of a gateway. It is safe for concurrent use.
type Tail struct {
	mu        sync.Mutex
	points    []Point // a ring once there are Points of them
	next      int
	before    sample.Sample
	followers map[chan Point]bool
}

// Add makes a point of what there was since the last reading. The first reading, and one of another data plane, makes none.
func (t *Tail) Add(s sample.Sample) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.before
	t.before = s
	if before.At.IsZero() || len(before.Workers) != len(s.Workers) || s.At.Sub(before.At) > 5*Interval {
		return
	}
	p := point(&s, &before)
	if len(t.points) < Points {
		t.points = append(t.points, p)
	} else {
		t.points[t.next] = p
		t.next = (t.next + 1) % Points
	}
	for f := range t.followers {
		select {
		case f <- p:
		default: // it is too slow
		}
	}
}

func point(s, before *sample.Sample) Point {
	r := s.Since(before)
	p := Point{
		Time: s.At.UnixMilli(), Sealed: r.Sealed, Opened: r.Opened, Clear: r.Clear, Handshakes: r.Handshakes, Plain: r.Plain, Refused: r.Refused, Aborted: r.Aborted,
		Encrypted: s.Encrypted, InClear: s.InClear, Drops: r.Drops,
	}
	for i, w := range r.Workers {
		p.Workers = append(p.Workers, Worker{Core: s.Workers[i].Core, Packets: w.Packets, Bits: w.Bits, Busy: w.Busy, Lost: w.Lost, Cycles: w.Cycles})
	}
	return p
}

// All returns the points, the oldest first; never nil.
func (t *Tail) All() []Point {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Point, 0, len(t.points))
	list = append(list, t.points[t.next:]...)
	return append(list, t.points[:t.next]...)
}

// Follow returns a channel that gets each new point, and how to end that; nil where too many follow already.
func (t *Tail) Follow() (<-chan Point, func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.followers) >= maxFollowers {
		return nil, nil
	}
	if t.followers == nil {
		t.followers = map[chan Point]bool{}
	}
	f := make(chan Point, backlog)
	t.followers[f] = true
	return f, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.followers, f)
	}
}
