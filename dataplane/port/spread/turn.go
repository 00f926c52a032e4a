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
func (p *Port) give(full bool) {
	p.turn.Store(false)
	if !full && p.left() && p.take() {
		p.send()
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
func (p *Port) send() (full bool) {
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
		for got := r.peek(p.out[:]); got > 0; got = r.peek(p.out[:]) {
			sent := p.q.TxBurst(p.out[:got])
			r.drop(sent)
			if sent < got {
				return true
			}
		}
	}
	return false
}

// receive takes a burst from the device, fills ms with what is for worker own, whose ring is empty, and puts the rest into rings. A full
// ring loses the packet.
func (p *Port) receive(own *queue, ms []*mbuf.Mbuf) int {
	got := p.q.RxBurst(p.ms[:min(len(p.queues)*port.Burst, maxBurst)])
	if got == 0 {
		return 0
	}
	p.sink = touch(p.ms[:got])
	n := 0
	for _, m := range p.ms[:got] {
		q := p.queues[p.hash.Worker(m.Data(), len(p.queues))]
		switch {
		case q == own && n < len(ms):
			ms[n] = m
			n++
		case !q.rx.add(m):
			q.full.Add(1)
			p.cache.Free(m)
		}
	}
	for _, q := range p.queues {
		if q.rx.publish() {
			q.wake()
		}
	}
	return n
}

// touch reads what the hash will read, so that misses of the cache overlap.
func touch(ms []*mbuf.Mbuf) (sum uint64) {
	for _, m := range ms {
		sum += uint64(m.Buf()[m.DataOff()])
	}
	return sum
}
