package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// Bury remembers a connection that an earlier data plane encrypted and whose state is gone: its ciphertext must never pass
// as if it were plaintext. What still comes of it is dropped and answered by a RST. It reports false when the table is full, or more
// are remembered by less than a record than fit. Run must not have begun.
func (w *Worker) Bury(k *flowtable.Key, now int64) bool {
	w.now = now
	lost := w.n[shm.TombsLost]
	return w.bury(k, w.table.Hash(k), now) != 0 && w.n[shm.TombsLost] == lost
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

// buried handles a segment of a buried connection. A SYN from outside may be forged, so that only the host can tell that it
// has the connection no more: it gets the SYN to answer, and where it would accept it is sent back, to be ready for the
// retransmission of the SYN, which then opens a connection like any other.
func (w *Worker) buried(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record) {
	const syn, ack, rst = packet.FlagSYN, packet.FlagACK, packet.FlagRST
	switch {
	case p.Flags&rst != 0 && r.Host.Flags&flowtable.EndpointSYN == 0 && s == flowtable.Inside:
		w.pass(s, p) // without numbers it may be the far end that needs it
		w.remove(i, r)
	case p.Flags&rst != 0:
		w.drop(p, shm.DropClosing)
		if r.Rare.Unaware == 0 {
			w.remove(i, r)
		}
	case s == flowtable.Inside && p.Flags&(syn|ack) == syn|ack:
		// The host has accepted a SYN: it has the connection no more.
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
