package pktgen

import (
	"context"

	"linecrypt/bench/cores"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/flowtable"
)

// forwarder moves what each of two ports receives to the other one, a burst at a time, and touches no packet: it is what an io forwarder
// does, whose latency on the same ports a gateway's is compared with. It counts packets as a worker does.
type forwarder struct {
	queues [flowtable.NumSides]port.Queue
	cache  *mbuf.Cache // to which what finds no room goes back
	core   int         // of run, -1 where the caller polls
	ms     [port.Burst]*mbuf.Mbuf

	received [flowtable.NumSides]port.Count
	full     port.Count // what the other port had no room for
}

func (f *forwarder) poll(int64) (work int, stole bool) {
	for s, q := range f.queues {
		n := q.RxBurst(f.ms[:])
		if n == 0 {
			continue
		}
		work += n
		f.received[s].Add(n)
		sent := f.queues[flowtable.Side(s).Other()].TxBurst(f.ms[:n])
		f.full.Add(n - sent)
		f.cache.FreeBurst(f.ms[sent:n])
	}
	return work, false
}

func (f *forwarder) run(ctx context.Context, ready func()) error {
	undo, err := cores.Pin(f.core)
	if err != nil {
		return err
	}
	defer undo()
	ready()
	for ctx.Err() == nil {
		for range forwarderPolls {
			f.poll(0)
		}
	}
	return nil
}

// forwarderPolls is how often a forwarder polls between two looks at whether it shall stop.
const forwarderPolls = 256

func (f *forwarder) tend(int64, bool) {}

func (f *forwarder) read(s *sample) {
	s.hasBlock = true
	s.block[shm.RxInsidePackets], s.block[shm.RxOutsidePackets] = f.received[inside].Load(), f.received[outside].Load()
	s.block[shm.DropTxFull] = f.full.Load()
}

func (f *forwarder) stages() stageCycles { return stageCycles{} }

func (f *forwarder) close() error {
	f.cache.Flush()
	return nil
}
