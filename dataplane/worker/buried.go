package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/stream"
	"linecrypt/flowtable"
)

// Orphan is a connection that an earlier data plane encrypted, or was about to, and whose state is gone with it: what the old
// record tells of it. Numbers and headers may be anything, they come from a process that was killed.
type Orphan struct {
	Key            flowtable.Key
	Told           bool // both its ends know that it is over
	Numbers        bool // the SYNs of both ends were seen
	HostISN        uint32
	PeerISN        uint32
	ToHost, ToWire flowtable.Template
	Host, Peer     OrphanEnd
}

// OrphanEnd is how far an end of an orphan is in the two streams, in positions of flowtable.Egress and flowtable.Ingress.
type OrphanEnd struct {
	Acked uint64 // of what it gets: it acknowledged that much,
	Sent  uint64 // and was sent that much
	Sends uint64 // of what it sends: the gateway acknowledged that much
}

// OrphanOf reads the record of a data plane that was killed. It reports false for a connection that may go on without its state.
func OrphanOf(r *flowtable.Record) (Orphan, bool) {
	if !r.MustEnd() {
		return Orphan{}, false
	}
	started := r.Flags&flowtable.FlagStarted != 0
	e, in := &r.Egress, &r.Ingress
	return Orphan{
		Key: r.Key, Told: r.State == flowtable.Closing && started && in.Flags&flowtable.IngressClosed != 0,
		Numbers: r.Host.Flags&r.Peer.Flags&flowtable.EndpointSYN != 0,
		HostISN: r.Host.ISN, PeerISN: r.Peer.ISN, ToHost: r.Rare.ToHost, ToWire: r.Rare.ToWire,
		Host: OrphanEnd{Acked: in.HostAck, Sent: in.PNext, Sends: e.PUna},
		Peer: OrphanEnd{Acked: e.WAck, Sent: e.WNext, Sends: in.WAcked},
	}, true
}

// Bury remembers an orphan: its ciphertext must never pass as if it were plaintext. What still comes of it is dropped and answered
// by a RST. Where reset is true, this worker also resets both ends at once, whether they say something or not. Every worker
// buries an orphan, since the ports decide which of them its packets reach; one of them resets. It reports false when the table is
// full, or more are remembered by less than a record than fit. Run must not have begun.
func (w *Worker) Bury(o *Orphan, reset bool, now int64) bool {
	w.now = now
	lost := w.n[shm.TombsLost]
	i := w.bury(&o.Key, w.table.Hash(&o.Key), now)
	r := w.table.Record(i)
	if i == 0 || r == nil || r.State != flowtable.Closing || r.Key != o.Key {
		return i != 0 && w.n[shm.TombsLost] == lost
	}
	// The record has what a later data plane needs to reset the ends once more.
	r.Host.ISN, r.Peer.ISN = o.HostISN, o.PeerISN
	if o.Numbers {
		r.Host.Flags, r.Peer.Flags = flowtable.EndpointSYN, flowtable.EndpointSYN
	}
	r.Rare.ToHost, r.Rare.ToWire = o.ToHost, o.ToWire
	r.Ingress.HostAck, r.Ingress.PNext, r.Egress.PUna = o.Host.Acked, o.Host.Sent, o.Host.Sends
	r.Egress.WAck, r.Egress.WNext, r.Ingress.WAcked = o.Peer.Acked, o.Peer.Sent, o.Peer.Sends
	if reset && !o.Told {
		w.orphans.refs = append(w.orphans.refs, orphanRef{i, r.Gen})
	}
	if reset && o.Numbers {
		r.Setup.Ask, r.Setup.Wait = now+orphanRound<<orphanRounds, probeFirst // behind the last round
		w.schedule(i, r)
	}
	return w.n[shm.TombsLost] == lost
}

// bury makes a tomb of a connection of which only the key is known; 0 where the table is full.
func (w *Worker) bury(k *flowtable.Key, hash uint32, now int64) flowtable.Index {
	i, fresh := w.table.Insert(k, hash, now)
	w.changed = true
	if i == 0 || !fresh {
		return i
	}
	r := w.table.Record(i)
	w.peers.add(k, 1) // entomb takes it off again
	w.table.SetState(i, flowtable.Closing)
	w.pairs.add(k, 1)
	r.Rare.Unaware = flowtable.Unaware
	w.entomb(i, r)
	w.schedule(i, r)
	return i
}

// orphans are the connections whose ends are yet to be reset. That happens in rounds, because a RST may be lost or meet a link that
// is not up yet, each twice as long after the last one; and a burst at a time, so that thousands of them flood nobody.
type orphans struct {
	refs  []orphanRef
	next  int // of the round
	round int
	due   int64 // of the next burst, in ns
}

type orphanRef struct {
	index flowtable.Index
	gen   uint32
}

const (
	orphanBurst  = 64             // connections at a time
	orphanPause  = int64(128_000) // ns from burst to burst
	orphanRounds = 5
	orphanRound  = int64(1e9) // ns from the first round to the second
)

// pollOrphans resets the ends of the next orphans.
func (w *Worker) pollOrphans(now int64) int {
	o := &w.orphans
	if len(o.refs) == 0 || now < o.due {
		return 0
	}
	n := min(orphanBurst, len(o.refs)-o.next)
	for _, ref := range o.refs[o.next : o.next+n] {
		// One that has come to an end, or whose place another connection has taken, is not there any more.
		if r := w.table.Get(ref.index, ref.gen); r != nil && r.State == flowtable.Closing {
			w.resetOrphan(r)
		}
	}
	o.next += n
	o.due = now + orphanPause
	if o.next < len(o.refs) {
		return n
	}
	o.due = now + orphanRound<<o.round
	o.next, o.round = 0, o.round+1
	if o.round == orphanRounds {
		*o = orphans{}
	}
	return n
}

// resetOrphan resets both ends. An end takes a RST with exactly the number that it expects next (RFC 5961 section 3.2): what it was
// sent last, or what it acknowledged last where the rest was lost. Another number makes it say what it expects, and buried answers
// that. The acknowledgement is for a host that waits for its SYN to be answered.
func (w *Worker) resetOrphan(r *flowtable.Record) {
	for _, to := range [...]flowtable.Side{inside, outside} {
		t, ok := orphanTemplate(&r.Key, to, &r.Rare)
		if !ok {
			continue
		}
		next, acked, ack := stream.Next(r, to)
		seg := packet.Seg{Seq: next, Ack: ack, Flags: packet.FlagRST | packet.FlagACK}
		w.n[shm.OrphanResets]++
		w.send(to, &t, &seg)
		if acked != next {
			seg.Seq = acked
			w.n[shm.OrphanResets]++
			w.send(to, &t, &seg)
		}
	}
}

// orphanTemplate returns the headers of segments to a side, of the other direction's where there are none of its own, and false
// where neither are headers of the connection.
func orphanTemplate(k *flowtable.Key, to flowtable.Side, rare *flowtable.Rare) (packet.Template, bool) {
	own, other := *template(&rare.ToHost), *template(&rare.ToWire)
	if to == outside {
		own, other = other, own
	}
	other.Reverse()
	for _, t := range [2]packet.Template{own, other} {
		src, dst, sport, dport := k.Outside, k.Inside, k.OutsidePort, k.InsidePort
		if to == outside {
			src, dst, sport, dport = dst, src, dport, sport
		}
		if t.Valid() && t.Src == src && t.Dst == dst && t.SrcPort == sport && t.DstPort == dport && t.VLAN() == k.VLAN {
			return t, true
		}
	}
	return packet.Template{}, false
}

// buried handles a segment of a buried connection that opens no other: its sender is told that the connection is over, and is
// known to know once it says so itself.
func (w *Worker) buried(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record) {
	const rst = packet.FlagRST
	switch {
	case p.Flags&rst != 0 && r.Host.Flags&flowtable.EndpointSYN == 0 && s == flowtable.Inside && p.PayloadLen == 0:
		w.pass(s, p) // without numbers it may be the far end that needs it
		w.remove(i, r)
	case p.Flags&rst != 0:
		w.drop(p, shm.DropClosing)
		if r.Rare.Unaware == 0 {
			w.remove(i, r)
		}
	default:
		w.refuseBuried(s, p)
	}
}

// refuseBuried resets the sender of a segment of a buried connection.
func (w *Worker) refuseBuried(s flowtable.Side, p *packet.Packet) {
	answer := p.Flags&(packet.FlagRST|packet.FlagACK) == packet.FlagACK
	var t packet.Template
	t.FromPacket(p)
	t.Reverse()
	ack := p.Ack
	w.drop(p, shm.DropClosing)
	if answer {
		w.send(s, &t, &packet.Seg{Seq: ack, Flags: packet.FlagRST})
	}
}
