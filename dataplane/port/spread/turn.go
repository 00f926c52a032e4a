package spread

import (
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// take takes the turn, if nobody has it, and never waits for it. It looks before it writes, so that workers with nothing to do do not
// pull the line from one another.
func (p *Port) take() bool { return !p.turn.Load() && p.turn.CompareAndSwap(false, true) }

// give gives the turn up. Who came too late for it has left packets in a ring and gone away before that, so that the rings are looked
// at once more: nothing stays behind for longer than a turn, unless the device is full.
func (p *Port) give(own *queue, full bool) {
	p.turn.Store(false)
	if !full && p.left() && p.take() {
		p.send(own)
		p.turn.Store(false)
	}
}

// left reports whether workers have packets to be sent.
func (p *Port) left() bool {
	for _, q := range p.queues {
		if !q.tx.empty() {
			return true
		}
	}
	return false
}

// send gives the device what the workers have put into their rings, and reports whether it is full. Whose packets come first changes, so that a
// device that is too slow is so for all.
func (p *Port) send(own *queue) (full bool) {
	n := len(p.queues)
	if p.first++; p.first >= n {
		p.first = 0
	}
	for i := range n {
		at := p.first + i
		if at >= n {
			at -= n
		}
		r := &p.queues[at].tx
		if r.empty() {
			continue
		}
		ms := own.burst[:port.Burst]
		for got := r.peek(ms); got > 0; got = r.peek(ms) {
			sent := p.q.TxBurst(ms[:got])
			r.drop(sent)
			if sent < got {
				return true
			}
		}
	}
	return false
}

// receive takes a burst from the device and puts each packet where its worker finds it: what is for worker own, which has the turn, into
// a ring that only this one uses, and is empty. What is written meanwhile lies with the worker, so that the lines of it need not come from the
// core that had the turn before.
func (p *Port) receive(own *queue) {
	ms := own.burst[:min(len(p.queues)*port.Burst, maxBurst)]
	ms = ms[:p.q.RxBurst(ms)]
	if len(ms) == 0 {
		return
	}
	// The hash reads the first line of each packet, which comes from memory while those before it are put into their rings.
	const ahead, each = 16, 8
	mbuf.PrefetchStarts(ms[:min(ahead, len(ms))])
	for ; len(ms) > each; ms = ms[each:] {
		if len(ms) > ahead {
			mbuf.PrefetchStarts(ms[ahead:min(ahead+each, len(ms))])
		}
		p.spread(own, ms[:each])
	}
	p.spread(own, ms)
	for i, r := range own.to {
		if r.publish() && i != own.index {
			p.queues[i].wake()
		}
	}
}

// spread puts packets into the rings of their workers. A full ring loses the packet. Which ring it is, is looked up in a table, because no core
// guesses it.
func (p *Port) spread(own *queue, ms []*mbuf.Mbuf) {
	for _, m := range ms {
		if to := p.hash.Worker(m.Data(), len(own.to)); !own.to[to].add(m) {
			p.queues[to].full.Add(1)
			p.cache.Free(m)
		}
	}
}
