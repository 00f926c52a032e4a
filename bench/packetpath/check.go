package packetpath

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// ErrWrong is wrapped by errors about what came out of the worker.
var ErrWrong = errors.New("wrong packets")

// count demands that as many packets left as came, that the worker counted as many frames, and nothing that a flawless wire has no
// cause for.
func (w *World) count(b *batch, before *shm.Block) error {
	for s, q := range w.queues {
		side := flowtable.Side(s)
		if q.refused > 0 || q.next != len(q.rx) {
			return fmt.Errorf("%w: %d packets were not taken from the %v port", ErrWrong, len(q.rx)-q.next, side)
		}
		if got, want := q.packets-b.sent[s], b.packets[side.Other()]; got != want {
			return fmt.Errorf("%w: %d left by the %v port, not %d%s", ErrWrong, got, side, want, w.flaws(before))
		}
	}
	want := map[shm.Counter]uint64{shm.SealedFrames: w.frames(b, flowtable.Inside), shm.OpenedFrames: w.frames(b, flowtable.Outside)}
	if w.opt.Plain {
		want = map[shm.Counter]uint64{shm.SealedFrames: 0, shm.OpenedFrames: 0, shm.PassedPackets: b.total()}
	}
	for c, n := range want {
		if got := w.n[c] - before[c]; got != n {
			return fmt.Errorf("%w: %v grew by %d, not %d", ErrWrong, c, got, n)
		}
	}
	for c := shm.RxInsidePackets; c < shm.NumCounters; c++ {
		if w.n[c] != before[c] && flaw(c) {
			return fmt.Errorf("%w: %v grew by %d", ErrWrong, c, w.n[c]-before[c])
		}
	}
	return nil
}

// flaws names the counters that grew without a cause.
func (w *World) flaws(before *shm.Block) (text string) {
	for c := shm.RxInsidePackets; c < shm.NumCounters; c++ {
		if w.n[c] != before[c] && flaw(c) {
			text += fmt.Sprintf("; %v grew by %d", c, w.n[c]-before[c])
		}
	}
	return text
}

func (w *World) frames(b *batch, s flowtable.Side) uint64 {
	return uint64(w.ways[s].sent - b.from[s].sent)
}

// flaw reports whether a counter counts what has no cause here.
func flaw(c shm.Counter) bool {
	name := c.String()
	for _, prefix := range []string{"drop_", "abort_", "kept_", "resent", "resealed", "redelivered", "own_resent", "absorbed", "own_acks", "challenge", "out_of_order"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// look looks at the packets of a batch that still lie in the rings for sending. With all it demands that each packet of the batch is
// among them, once.
func (w *World) look(b *batch, all bool) error {
	for s, q := range w.queues {
		to := flowtable.Side(s)
		n := b.packets[to.Other()]
		if all && n > txRing {
			return fmt.Errorf("%d packets do not lie in a ring of %d", n, txRing)
		}
		data, acks := w.ways[to.Other()].sent-b.from[to.Other()].sent, w.ways[to].acked-b.from[to].acked
		w.looked = append(w.looked[:0], make([]uint64, (data+acks+63)/64)...)
		err := q.latest(int(n), func(m *mbuf.Mbuf) error {
			i, err := w.lookAt(b, m.Data(), to)
			if err != nil {
				return fmt.Errorf("%w: to the %v port: %w", ErrWrong, to, err)
			}
			if w.looked[i/64]&(1<<(i%64)) != 0 {
				return fmt.Errorf("%w: to the %v port: one came out twice", ErrWrong, to)
			}
			w.looked[i/64] |= 1 << (i % 64)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lookAt looks at a packet that left to a side and returns its number among the batch's data segments that way, or behind those its
// number among the acknowledgements.
func (w *World) lookAt(b *batch, packet []byte, to flowtable.Side) (int64, error) {
	var h header
	payload, ok := h.read(packet, to)
	from := to.Other()
	switch {
	case !ok || h.flow >= int64(w.opt.Flows):
		return 0, fmt.Errorf("headers are not those of a flow: %x", packet[:min(len(packet), payloadAt)])
	case !w.stamped(&h, from):
		return 0, fmt.Errorf("flow %d: timestamps %d and %d", h.flow, h.tsVal, h.tsEcr)
	}
	data, acks := &w.ways[from], &w.ways[to]
	sent, acked := data.order.sent(h.flow, data.sent), acks.order.acked(h.flow, acks.acked)
	segments, ok := acks.segments(to, h.ack-isn[to]-1, acked)
	if !ok || segments < 0 || segments > acked || segments%acks.turn != 0 {
		return 0, fmt.Errorf("flow %d: acknowledgement of %d: %d of %d segments", h.flow, h.ack, segments, acked)
	}
	before, ok := data.segments(to, h.seq-isn[from]-1, sent)
	if !ok || before < 0 || before > sent {
		return 0, fmt.Errorf("flow %d: sequence number %d: %d of %d segments", h.flow, h.seq, before, sent)
	}
	first := b.from[from].sent
	if len(payload) == 0 {
		v := (segments/acks.turn-1)*acks.flows + acks.place(h.flow)
		if v < b.from[to].acked || v >= acks.acked {
			return 0, fmt.Errorf("flow %d: acknowledgement of %d segments is not of this batch", h.flow, segments)
		}
		return data.sent - first + v - b.from[to].acked, nil
	}
	d := data.number(h.flow, before)
	if d < first || d >= data.sent {
		return 0, fmt.Errorf("flow %d: segment %d is not of this batch", h.flow, before)
	}
	text := payload
	if to == flowtable.Outside && !w.opt.Plain {
		var err error
		if text, err = w.crypt.open(h.flow, data.at(to, before), payload); err != nil {
			return 0, fmt.Errorf("flow %d: frame %d: %w", h.flow, before, err)
		}
	}
	if !bytes.Equal(text, plaintext(h.flow, data.at(flowtable.Inside, before), int(data.size))) {
		return 0, fmt.Errorf("flow %d: %d bytes of segment %d are not what was sent", h.flow, len(text), before)
	}
	return d - first, nil
}

// stamped reports whether the timestamps are some that both sides have sent, not long ago. The gateway echoes what it has seen last.
func (w *World) stamped(h *header, from flowtable.Side) bool {
	val, ecr := h.tsVal-hostEpoch, h.tsEcr-peerEpoch
	if from == flowtable.Outside {
		val, ecr = h.tsVal-peerEpoch, h.tsEcr-hostEpoch
	}
	now := uint32(w.written / packetsPerMs)
	const recent = 2 * maxBatch / packetsPerMs
	return now-val <= recent && now-ecr <= recent
}
