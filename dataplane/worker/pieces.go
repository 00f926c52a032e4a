package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// timestampBytes is what timestamps take of a segment, with padding (RFC 7323 section 3.2).
const timestampBytes = 12

// wireLimit is the largest payload of a segment to the far end. A frame is longer where the far end announced no MSS that
// could be clamped, or the path takes less than the host believes.
func wireLimit(r *flowtable.Record) int {
	n := max(int(r.Peer.MSS), minMTU)
	if r.Flags&flowtable.FlagTimestamps != 0 {
		n -= timestampBytes
	}
	return n
}

// sendPieces sends a segment whose payload is too long for the path in several. The payload's bytes stay where they are but
// for copies of those behind the first piece.
func (w *Worker) sendPieces(p *packet.Packet, limit int) {
	tail := &w.made
	for int(p.PayloadLen) > limit {
		if !w.splitOff(tail, p, limit) {
			w.n[shm.DropNoBuffer]++
			w.cache.Free(p.M)
			return
		}
		p.Finish(w.tx[outside].offload)
		w.tx[outside].push(p.M)
		*p = *tail
	}
	p.Finish(w.tx[outside].offload)
	w.tx[outside].push(p.M)
}

// splitOff cuts p's payload to n bytes and makes tail, in a buffer of its own, the segment with what is behind them.
func (w *Worker) splitOff(tail, p *packet.Packet, n int) bool {
	m := w.cache.Alloc()
	if m == nil {
		return false
	}
	head, rest := p.M.Data()[:p.Payload], p.PayloadBytes()[n:]
	*tail = *p
	tail.M = m
	if !m.Append(head) || !m.Append(rest) || !tail.SetPayloadLen(len(rest)) || !p.SetPayloadLen(n) {
		w.cache.Free(m)
		return false
	}
	m.OlFlags, m.TxOffload = p.M.OlFlags, p.M.TxOffload
	urg := p.Urg - uint16(min(n, int(p.Urg)))
	flags := p.Flags &^ packet.FlagCWR
	if urg == 0 {
		flags &^= packet.FlagURG
	}
	tail.SetTCP(p.Seq+uint32(n), p.Ack, p.Win, flags, urg)
	p.SetTCP(p.Seq, p.Ack, p.Win, p.Flags&^(packet.FlagFIN|packet.FlagPSH), p.Urg)
	return true
}
