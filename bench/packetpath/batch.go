package packetpath

import (
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/port"
	"linecrypt/flowtable"
)

// batch says what was written for the polls of one batch.
type batch struct {
	from    [flowtable.NumSides]way    // before it
	packets [flowtable.NumSides]uint64 // by the side they come from
	sent    [flowtable.NumSides]uint64 // that had left by each queue before it
	bursts  int
}

func (b *batch) total() uint64 { return b.packets[flowtable.Inside] + b.packets[flowtable.Outside] }

// fill writes a batch of at least n packets, or as many as there are, and seals what far ends send.
func (w *World) fill(b *batch, l Load, n uint64) error {
	*b = batch{from: w.ways}
	for s, q := range w.queues {
		q.begin()
		b.sent[s] = q.packets
	}
	for b.total() < n {
		for s := range w.ways {
			w.ways[s].begun = max(w.ways[s].begun, w.ways[s].sent)
		}
		before := b.total()
		for s := range w.queues {
			if err := w.fillBurst(b, l, flowtable.Side(s)); err != nil {
				return err
			}
		}
		b.bursts++
		if b.total() == before {
			break
		}
	}
	return w.crypt.flush()
}

// fillBurst writes what a port receives in one poll: data of its side as long as there is room, and the acknowledgements that are due
// among them.
func (w *World) fillBurst(b *batch, l Load, s flowtable.Side) error {
	q, data, acks := w.queues[s], &w.ways[s], &w.ways[s.Other()]
	defer q.endBurst()
	afterData := true
	for q.made() < port.Burst {
		var err error
		switch {
		case !acks.idle() && acks.due(l.Lag) && (afterData || !data.sends()):
			err = w.putAck(s, data, acks)
			afterData = false
		case data.sends():
			err = w.putData(s, data, acks)
			afterData = true
		default:
			return nil
		}
		if err != nil {
			return err
		}
		b.packets[s]++
	}
	return nil
}

// putAck writes the next acknowledgement from a side.
func (w *World) putAck(s flowtable.Side, data, acks *way) error {
	flow, segments := acks.ack(acks.acked)
	acks.acked++
	acks.owed -= acks.turn
	h := header{flow: flow, seq: isn[s] + 1 + uint32(data.at(s, data.order.sent(flow, data.sent))), ack: isn[s.Other()] + 1 + uint32(acks.at(s, segments))}
	_, err := w.put(s, &h)
	return err
}

// putData writes the next data segment from a side.
func (w *World) putData(s flowtable.Side, data, acks *way) error {
	flow, before := data.data(data.sent)
	data.sent++
	data.owed = min(data.owed+1, 2*port.Burst)
	h := header{flow: flow, seq: isn[s] + 1 + uint32(data.at(s, before)), ack: isn[s.Other()] + 1 + uint32(acks.at(s, acks.order.acked(flow, acks.acked)))}
	h.n = int(data.size)
	if s == flowtable.Outside {
		h.n = int(data.frame)
	}
	b, err := w.put(s, &h)
	if err != nil {
		return err
	}
	text := plaintext(flow, data.at(flowtable.Inside, before), int(data.size))
	if s == flowtable.Inside || w.opt.Plain {
		copy(b, text)
		return nil
	}
	copy(b[tcpcrypt.HeaderLen+tcpcrypt.FlagsLen:], text)
	return w.crypt.seal(flow, data.at(s, before), b)
}

// put writes a packet and returns where its payload goes.
func (w *World) put(s flowtable.Side, h *header) ([]byte, error) {
	m, err := w.buffer()
	if err != nil {
		return nil, err
	}
	h.tsVal, h.tsEcr = w.timestamps(s)
	b := h.write(m, s)
	w.queues[s].put(m, int(m.DataLen))
	return b, nil
}

// pattern is what plaintext is taken from.
var pattern = func() []byte {
	b := make([]byte, 1<<14+MaxSize)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}()

// plaintext returns the n bytes of a flow's streams from position p on.
func plaintext(flow int64, p uint64, n int) []byte {
	at := (uint64(flow)*7919 + p) & (1<<14 - 1)
	return pattern[at:][:n]
}
