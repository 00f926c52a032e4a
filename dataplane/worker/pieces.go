package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// leastPiece is the least payload that a piece of a segment has; where not even that fits behind long headers of the network
// layer, the segment is dropped.
const leastPiece = 16

// room is the largest payload of a segment with p's headers to an end of the connection, by what it announced and what the path
// takes: options of TCP and of the network layer count against an MSS (RFC 6691). A frame is longer where the far end announced no
// MSS that could be clamped, or the path takes less than the host believes.
func (w *Worker) room(r *flowtable.Record, to flowtable.Side, p *packet.Packet) int {
	w.lookAtPaths(r, w.now)
	mss, path := r.Peer.MSS, r.Local.PeerPath
	if to == inside {
		mss, path = r.Host.MSS, r.Local.HostPath
	}
	n := max(mss, minMSS)
	if path != 0 {
		n = min(n, path)
	}
	return int(n) + int(headers(p.Ver == 4)) - (int(p.Payload) - int(p.L3))
}

// sendPieces sends a segment whose payload is longer than limit in several. The payload's bytes stay where they are but for copies
// of those behind the first piece.
func (w *Worker) sendPieces(to flowtable.Side, p *packet.Packet, limit int) {
	if limit < leastPiece {
		w.drop(p, shm.DropTooLong)
		return
	}
	w.n[shm.SegmentsCut]++
	tail := &w.made
	for int(p.PayloadLen) > limit {
		if !w.splitOff(tail, p, limit) {
			w.n[shm.DropNoBuffer]++
			w.cache.Free(p.M)
			return
		}
		p.Finish(w.tx[to].offload)
		w.tx[to].push(p.M)
		*p = *tail
	}
	p.Finish(w.tx[to].offload)
	w.tx[to].push(p.M)
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
	if !tail.DontFragment() {
		tail.SetIPv4ID(w.nextID())
	}
	urg := p.Urg - uint16(min(n, int(p.Urg)))
	flags := p.Flags &^ packet.FlagCWR
	if urg == 0 {
		flags &^= packet.FlagURG
	}
	tail.SetTCP(p.Seq+uint32(n), p.Ack, p.Win, flags, urg)
	p.SetTCP(p.Seq, p.Ack, p.Win, p.Flags&^(packet.FlagFIN|packet.FlagPSH), p.Urg)
	return true
}
