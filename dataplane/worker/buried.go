package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// Bury remembers a connection that an earlier data plane encrypted and whose state is gone: its ciphertext must never pass
// as if it were plaintext. What still comes of it is dropped and answered by a RST. It reports false when the table is full.
// Run must not have begun.
func (w *Worker) Bury(k *flowtable.Key, now int64) bool {
	i, fresh := w.table.Insert(k, w.table.Hash(k), now)
	if i == 0 {
		return false
	}
	if fresh {
		w.table.SetState(i, flowtable.Closing)
		w.pairs.add(k, 1)
		w.schedule(i, w.table.Record(i))
	}
	return true
}

// buried handles a segment of a buried connection. A SYN from outside may be forged, so that only the host can tell that it
// has the connection no more: it gets the SYN to answer, and where it would accept it is sent back, to be ready for the
// retransmission of the SYN, which then opens a connection like any other.
func (w *Worker) buried(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record) {
	const syn, ack, rst = packet.FlagSYN, packet.FlagACK, packet.FlagRST
	switch {
	case s == outside && opens(p) && p.VerifyTCP() && p.VerifyIPv4() && p.RemoveENO():
		p.Finish(w.tx[inside].offload)
		w.tx[inside].push(p.M)
	case s == inside && p.Flags&rst != 0:
		w.pass(s, p)
		w.remove(i, r)
	case s == inside && p.Flags&(syn|ack) == syn|ack:
		w.refuseBuried(s, p)
		w.remove(i, r)
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

// closingTime is how long a silent connection that has ended is remembered, in ns: one whose state was lost as long as
// its ends may believe in it.
func (w *Worker) closingTime(r *flowtable.Record) int64 {
	if r.Flags&flowtable.FlagStarted == 0 {
		return w.params.FlowIdle
	}
	return w.params.Timeout
}
