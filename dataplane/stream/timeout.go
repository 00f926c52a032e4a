package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// Timeout does what is due at now.
func (c *Core) Timeout(idx flowtable.Index, r *flowtable.Record, now int64, out *Output) {
	c.begin(out)
	f := flow{c: c, idx: idx, r: r, now: now, out: out}
	f.timeout()
	c.judge(r)
}

func (f *flow) timeout() {
	c, r, now, out := f.c, f.r, f.now, f.out
	e, in := &r.Egress, &r.Ingress
	if e.Flags&(flowtable.EgressDead|flowtable.EgressFreed) == flowtable.EgressDead && !out.Pending() {
		c.freeBuffers(r)
		e.Flags |= flowtable.EgressFreed
		r.Rare.OwnTimer = 0
	}
	if r.Rare.Linger != 0 && now >= r.Rare.Linger {
		r.Rare.Linger = now + c.cfg.Linger
		f.event(EventRelease, shm.CounterNone, nil)
	}
	if e.Flags&flowtable.EgressDead != 0 {
		return
	}
	if in.Flags&flowtable.IngressStalled != 0 {
		f.drain()
		if f.wireNews() {
			f.ackWire()
		}
	}
	if e.Flags&flowtable.EgressStalled != 0 {
		f.fillGap()
	}
	if r.Rare.OwnTimer != 0 && now >= r.Rare.OwnTimer {
		f.ownTimeout()
	}
	if at := r.At(r.Rare.RekeyAt); at != 0 && now >= at {
		f.generationTimeout(at)
	}
	if at := r.At(r.Rare.KeepAt); at != 0 && now >= at {
		f.keepAlive(at)
	}
	if ra := f.reassembly(); ra != nil {
		if ra.timer != 0 && now >= ra.timer {
			f.deliveryTimeout(ra)
		}
		f.reassemblyTimeout(ra)
	}
	if t := c.stallDeadline(r); t != 0 && now >= t {
		f.stalled()
	}
	f.settle()
}

// Deadline returns when Timeout wants to be called, in ns of the caller's clock, 0 for never. It changes with every other
// call on the record. A time that has passed means as soon as possible.
func (c *Core) Deadline(r *flowtable.Record) int64 {
	e, in := &r.Egress, &r.Ingress
	d := r.Rare.Linger
	if e.Flags&flowtable.EgressDead != 0 {
		if e.Flags&flowtable.EgressFreed == 0 {
			return 1
		}
		return d
	}
	if in.Flags&flowtable.IngressStalled != 0 || e.Flags&flowtable.EgressStalled != 0 {
		return 1
	}
	d = earlier(earlier(d, r.Rare.OwnTimer), c.stallDeadline(r))
	d = earlier(earlier(d, r.At(r.Rare.RekeyAt)), r.At(r.Rare.KeepAt))
	if i := r.Local.Reassembly; i != 0 {
		ra := &c.reassemblies[i]
		d = earlier(earlier(d, ra.timer), ra.deadline(r))
	}
	return d
}

// earlier returns the earlier of two deadlines, of which 0 is none.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
