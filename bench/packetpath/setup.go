package packetpath

import (
	"fmt"
	"math/rand/v2"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/port"
	"linecrypt/flowtable"
)

// together is how many flows are set up at a time at most.
const together = 512

// question is what the far end of a connection that stays plain sends, upon which the gateway is sure that it is.
const question = "question"

// synOptions are an MSS of 1,460, SACK permitted and a window scale of 10, padded.
var synOptions = []byte{packet.KindMSS, 4, 1460 >> 8, 1460 & 0xff, packet.KindSACKPermitted, 2, packet.KindNOP, packet.KindWScale, 3, 10}

// step is a segment of connection set-up.
type step struct {
	from    flowtable.Side
	seg     packet.Seg
	payload []byte
}

// steps are the segments that open a connection. The far end opens it.
func steps(encrypt bool) []step {
	const in, out = flowtable.Inside, flowtable.Outside
	const syn, ack, psh = packet.FlagSYN, packet.FlagACK, packet.FlagPSH
	s := []step{
		{out, packet.Seg{Seq: peerISN, Flags: syn, Other: synOptions}, nil},
		{in, packet.Seg{Seq: hostISN, Ack: peerISN + 1, Flags: syn | ack, Other: synOptions}, nil},
		{out, packet.Seg{Seq: peerISN + 1, Ack: hostISN + 1, Flags: ack}, nil},
		{out, packet.Seg{Seq: peerISN + 1, Ack: hostISN + 1, Flags: ack | psh}, []byte(question)},
	}
	if encrypt {
		s[0].seg.ENO = []byte{eno.Kind, 3, byte(tep)}
		s[2].seg.ENO, s[2].seg.Flags, s[2].payload = []byte{packet.KindENO, 2}, ack|psh, initMessage(tcpcrypt.KindInit1)
		s[3] = step{in, packet.Seg{Seq: hostISN + 1, Ack: peerISN + 1, Flags: ack}, nil}
		s = append(s, step{out, packet.Seg{Seq: peerISN + 1 + initLen, Ack: hostISN + 1 + initLen, Flags: ack}, nil})
	}
	return s
}

// establish opens all flows, in an order of its own, so that records do not lie in that in which flows have their turn.
func (w *World) establish() error {
	w.ways[flowtable.Inside], w.ways[flowtable.Outside] = way{w: initLen}, way{w: initLen}
	if w.opt.Plain {
		w.ways[flowtable.Inside], w.ways[flowtable.Outside] = way{}, way{p: uint64(len(question)), w: uint64(len(question))}
	}
	flows := rand.New(rand.NewPCG(1, 2)).Perm(w.opt.Flows)
	steps := steps(!w.opt.Plain)
	for len(flows) > 0 {
		some := flows[:min(w.together, len(flows))]
		flows = flows[len(some):]
		for _, s := range steps {
			if err := w.feed(some, &s); err != nil {
				return err
			}
		}
	}
	done := w.n[shm.HandshakesDone]
	if w.opt.Plain {
		done = w.n[shm.PlainNoENOInSyn]
	}
	if done != uint64(w.opt.Flows) {
		return fmt.Errorf("%d connections came about", done)
	}
	w.stop()
	return nil
}

// feed gives the worker one segment of each of the flows, and lets it and the control plane work until they have done.
func (w *World) feed(flows []int, s *step) error {
	for _, q := range w.queues {
		q.begin()
	}
	q := w.queues[s.from]
	for _, f := range flows {
		m, err := w.buffer()
		if err != nil {
			return err
		}
		seg := s.seg
		seg.Win = 65535
		seg.HasTS = true
		seg.TSVal, seg.TSEcr = w.timestamps(s.from)
		var p packet.Packet
		m.SetBounds(mbuf.Headroom, 0)
		if !p.Build(m, template(int64(f), s.from), &seg, len(s.payload)) {
			return fmt.Errorf("a segment with flags %#x cannot be built", seg.Flags)
		}
		copy(p.PayloadBytes(), s.payload)
		p.Finish(false)
		if q.put(m, int(m.DataLen)); q.made() == port.Burst {
			q.endBurst()
		}
	}
	q.endBurst()
	for range q.ends {
		w.poll()
	}
	return w.settle()
}

// settle polls until nothing is left to do.
func (w *World) settle() error {
	for {
		answered := 0
		for _, c := range w.ctls {
			n, err := c.serve()
			if err != nil {
				return err
			}
			answered += n
		}
		if w.poll()+answered == 0 {
			return nil
		}
	}
}

// buffer returns a free buffer.
func (w *World) buffer() (*mbuf.Mbuf, error) {
	n := len(w.stash)
	if n == 0 {
		if w.stash == nil {
			w.stash = make([]*mbuf.Mbuf, port.Burst)
		}
		n = port.Burst
		if w.stash = w.stash[:n]; !w.pool.AllocBulk(w.stash) {
			w.stash = w.stash[:0]
			return nil, fmt.Errorf("no buffer is free")
		}
	}
	n--
	m := w.stash[n]
	w.stash = w.stash[:n]
	m.Reset()
	return m, nil
}

// Timestamps of both sides: milliseconds, of which one goes by every 1,024 packets.
const (
	packetsPerMs = 1024
	hostEpoch    = 1_000_000
	peerEpoch    = 2_000_000_000
)

// timestamps returns those of the next packet from a side.
func (w *World) timestamps(from flowtable.Side) (val, ecr uint32) {
	ms := uint32(w.written / packetsPerMs)
	w.written++
	if from == flowtable.Inside {
		return hostEpoch + ms, peerEpoch + ms
	}
	return peerEpoch + ms, hostEpoch + ms
}
