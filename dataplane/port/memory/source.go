package memory

import (
	"fmt"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// Fill writes packet number seq of a queue into m, an empty buffer, and reports whether there is one. It runs in the
// packet path of a benchmark and must not allocate.
type Fill func(queue int, seq uint64, m *mbuf.Mbuf) bool

// Cycle is a Fill that repeats frames in order for ever.
func Cycle(frames [][]byte) Fill {
	return func(_ int, seq uint64, m *mbuf.Mbuf) bool { return m.Append(frames[seq%uint64(len(frames))]) }
}

// Source is a port for benchmarks: it receives what a Fill makes up, and frees what it is given to send.
type Source struct {
	name   string
	opt    Options
	queues []*sourceQueue
}

// NewSource returns a source with one queue for each cache.
func NewSource(name string, opt Options, caches []*mbuf.Cache, fill Fill) (*Source, error) {
	opt = opt.withDefaults()
	if err := opt.check(caches); err != nil {
		return nil, fmt.Errorf("memory source %s: %w", name, err)
	}
	s := &Source{name: name, opt: opt}
	flags := uint64(0)
	if opt.RxCksumGood {
		flags = mbuf.RxIPCksumGood | mbuf.RxL4CksumGood
	}
	for i, c := range caches {
		s.queues = append(s.queues, &sourceQueue{index: i, cache: c, fill: fill, rxFlags: flags})
	}
	return s, nil
}

// Name implements port.Port.
func (s *Source) Name() string { return s.name }

// Kind implements port.Port.
func (s *Source) Kind() string { return "memory" }

// Queue implements port.Port.
func (s *Source) Queue(i int) port.Queue { return s.queues[i] }

// Queues implements port.Port.
func (s *Source) Queues() int { return len(s.queues) }

// Caps implements port.Port.
func (s *Source) Caps() port.Caps { return port.Caps{RxCksum: s.opt.RxCksumGood, RSS: s.opt.RSS} }

// MTU implements port.Port.
func (s *Source) MTU() int { return s.opt.MTU }

// Follow implements port.Port.
func (s *Source) Follow() port.State {
	return port.State{Link: port.LinkUp, MTU: s.opt.MTU, Attached: 1}
}

// Close implements port.Port.
func (s *Source) Close() error { return nil }

// Sent returns the packets and bytes the workers handed to TxBurst of queue i.
func (s *Source) Sent(i int) (packets, bytes uint64) {
	q := s.queues[i]
	return q.packets, q.bytes
}

type sourceQueue struct {
	index          int
	cache          *mbuf.Cache
	fill           Fill
	rxFlags        uint64
	seq            uint64
	packets, bytes uint64
	noMbuf         port.Count
}

// RxBurst implements port.Queue.
func (q *sourceQueue) RxBurst(ms []*mbuf.Mbuf) int {
	for i := range ms {
		m := q.cache.Alloc()
		if m == nil {
			q.noMbuf.Add(1)
			return i
		}
		if !q.fill(q.index, q.seq, m) {
			q.cache.Free(m)
			return i
		}
		m.OlFlags |= q.rxFlags
		q.seq++
		ms[i] = m
	}
	return len(ms)
}

// TxBurst implements port.Queue.
func (q *sourceQueue) TxBurst(ms []*mbuf.Mbuf) int {
	for _, m := range ms {
		q.packets++
		q.bytes += uint64(m.PktLen)
		q.cache.Free(m)
	}
	return len(ms)
}

// Stats implements port.Queue.
func (q *sourceQueue) Stats() port.Stats { return port.Stats{RxNoMbuf: q.noMbuf.Load()} }
