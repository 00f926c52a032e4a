package spread

import (
	"testing"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// still is a device that has packets all the time, always the same ones, and takes all.
type still struct {
	port.Port
	ms   []*mbuf.Mbuf
	next int
}

func (s *still) Name() string                { return "still" }
func (s *still) Kind() string                { return "still" }
func (s *still) Queues() int                 { return 1 }
func (s *still) Queue(int) port.Queue        { return s }
func (s *still) Close() error                { return nil }
func (s *still) Stats() port.Stats           { return port.Stats{} }
func (s *still) TxBurst(ms []*mbuf.Mbuf) int { return len(ms) }

func (s *still) RxBurst(ms []*mbuf.Mbuf) int {
	n := copy(ms, s.ms[s.next:])
	if s.next += n; s.next == len(s.ms) {
		s.next = 0
	}
	return n
}

// BenchmarkTurn is what a packet costs that goes through the spreader, in one thread and with everything in the cache.
func BenchmarkTurn(b *testing.B) {
	arena, err := mbuf.NewArena(buffers, mbuf.DefaultDataRoom)
	if err != nil {
		b.Fatal(err)
	}
	defer arena.Close()
	pool := mbuf.NewShared(arena)
	caches := []*mbuf.Cache{mbuf.NewShare(pool, 2), mbuf.NewShare(pool, 2)}
	device := mbuf.NewShare(pool, 2)
	dev := new(still)
	h, flow := newHash(b), uint16(0)
	for i := range 2 * port.Burst { // as many for one worker as for the other
		for ; h.Worker(segment(flow, 0), 2) != i%2; flow++ {
			continue
		}
		m := device.Alloc()
		m.Append(segment(flow, 0))
		dev.ms = append(dev.ms, m)
		flow++
	}
	p, err := New(dev, device, caches, h, Options{})
	if err != nil {
		b.Fatal(err)
	}
	var ms [port.Burst]*mbuf.Mbuf
	packets := 0
	for b.Loop() {
		for w := range 2 {
			q := p.Queue(w)
			n := q.RxBurst(ms[:])
			q.TxBurst(ms[:n])
			packets += n
		}
	}
	for _, q := range p.queues { // its packets are the device's
		q.take(q.burst[:])
	}
	if err := p.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
}
