package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/handover"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// handoverBurst is how many messages of its neighbour a worker takes in a poll.
const handoverBurst = 32

// elsewhere reports whether a connection that this worker does not know may be another one's: there is an encrypted one between
// its hosts, and the packet has not been with all workers yet.
func (w *Worker) elsewhere(k *flowtable.Key) bool { return w.hops > 0 && w.pairs.encrypted(k) }

// handOver gives a packet from side s to the next worker.
func (w *Worker) handOver(s flowtable.Side, p *packet.Packet) {
	complete(p, false, false)
	q := w.cfg.Circle.Next(int(w.cfg.ID))
	msg := q.Reserve()
	if msg == nil || !msg.SetPacket(p.M.Data()) {
		w.drop(p, shm.DropHandover)
		return
	}
	msg.Kind, msg.Side, msg.Hops = handover.Packet, s, w.hops-1
	q.Commit()
	w.n[shm.HandoverPackets]++
	w.cache.Free(p.M)
}

// spreadPath tells the hops next workers the MTU of a path.
func (w *Worker) spreadPath(k *pathKey, mtu uint16, hops uint8) {
	if hops == 0 {
		return
	}
	q := w.cfg.Circle.Next(int(w.cfg.ID))
	msg := q.Reserve()
	if msg == nil {
		w.n[shm.DropHandover]++
		return
	}
	msg.Kind, msg.Side, msg.Hops = handover.Path, k.side, hops-1
	msg.Addr, msg.VLAN, msg.MTU = k.addr, k.vlan, mtu
	q.Commit()
}

// pollHandover takes what the neighbour handed over.
func (w *Worker) pollHandover(now int64) int {
	if w.others == 0 {
		return 0
	}
	q, n := w.cfg.Circle.Before(int(w.cfg.ID)), 0
	for ; n < handoverBurst; n++ {
		msg := q.Peek()
		if msg == nil {
			break
		}
		if msg.Kind == handover.Path {
			k := pathKey{addr: msg.Addr, vlan: msg.VLAN, side: msg.Side}
			w.notePath(&k, msg.MTU)
			w.spreadPath(&k, msg.MTU, msg.Hops)
		} else {
			w.hops = msg.Hops
			w.handed(msg, now)
			w.hops = w.others
		}
		q.Release()
	}
	return n
}

// handed treats a packet from a neighbour as one from the port it came in by.
func (w *Worker) handed(msg *handover.Message, now int64) {
	m := w.cache.Alloc()
	if m == nil || !m.Append(msg.Bytes()) {
		w.cache.Free(m)
		w.n[shm.DropHandover]++
		return
	}
	if !w.out.Room() {
		w.finish(now)
	}
	p := &w.burst.pkts[0]
	p.Parse(m)
	if w.trace.on && w.traceBegin(msg.Side, p, now) {
		w.workHanded(msg.Side, p, now)
		w.traceEnd(now)
		return
	}
	w.workHanded(msg.Side, p, now)
}

// workHanded gives a packet from a neighbour to what its flow's state wants.
func (w *Worker) workHanded(s flowtable.Side, p *packet.Packet, now int64) {
	if p.Class != packet.TCP {
		w.other(s, p, now)
		return
	}
	k := &w.burst.keys[0]
	hash := w.key(k, p, s)
	i := w.table.Lookup(k, hash)
	if w.trace.on {
		w.traceVerdict(i)
	}
	if !w.fast(s, p, i, w.table.Record(i), now) {
		w.segment(s, p, k, hash, i, now)
	}
}
