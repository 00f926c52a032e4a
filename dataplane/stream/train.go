package stream

import (
	"encoding/binary"
	"unsafe"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// A train is what a connection that carries much gives: segments of the common kind in plain packets, one right behind the other from one
// end, with data or without. The loops below take as many of them as they can, headers included, to the same end as FastEgress and
// FastIngress, whose form for such segments they are: what is the same for all of them is asked once, and nothing is written twice.

// TrainKind says what the segments of a train have in common.
type TrainKind uint8

// The bits of a TrainKind.
const (
	TrainFromWire TrainKind = 1 << iota // they come from the far end, else from the host
	TrainStamped                        // segments of the connection carry timestamps
)

// Train takes the first segments of a burst, n at most, as far as it can, and returns how many; the next one is for FastEgress or FastIngress.
// They come from one end of a connection, and make a run of their own. The first is Plain, the others are looked at. Most is the largest
// payload that becomes one which fits its way. The output wants room for all of them (Output.Room).
func (c *Core) Train(idx flowtable.Index, r *flowtable.Record, burst []packet.Packet, n int, kind TrainKind, most int) (taken int) {
	x := &c.run
	x.r, x.idx = r, idx
	x.reset()
	if kind&TrainFromWire != 0 {
		return x.wireTrain(burst, n, kind&TrainStamped != 0, most)
	}
	taken = x.hostTrain(burst, n, kind&TrainStamped != 0, min(most, tcpcrypt.MaxData-tcpcrypt.UrgentLen))
	x.EndRun()
	return taken
}

func (x *Run) wireTrain(burst []packet.Packet, count int, ts bool, most int) (taken int) {
	c, r, o, pkts, first := x.c, x.r, x.out, burst[:count], &burst[0]
	e, in, peer := &r.Egress, &r.Ingress, &r.Peer
	key, header := c.keyOf(r.Local.OpenKey), int(first.Payload)
	var seg Segment
	seg.HasTS = ts
	for i := range pkts {
		s := &pkts[i]
		w := in.WNext
		fresh := s.Ack - (r.Host.ISN + 1 + uint32(e.WAck))
		if i > 0 && !s.Alike(first) || !r.Local.Common || s.Seq != peer.ISN+1+uint32(w) || w > in.WEdge || uint64(fresh) > e.WNext-e.WAck ||
			ts && !later(s.Opt.TSVal, peer.TSVal) {
			break
		}
		n, m := int(s.PayloadLen), s.M
		if n == 0 {
			x.turn()
			x.short(&seg, s, peer, &r.Host)
			x.sendReady(x.fastWireAck(&seg, int64(w), int64(e.WAck+uint64(fresh))), header, burst[i:], false)
			taken++
			continue
		}
		off := m.DataOff() + header
		frame := unsafe.Add(m.BufAddr, off)
		if n <= tcpcrypt.Overhead || n > most || !x.openRoom() ||
			binary.BigEndian.Uint32((*[frameHead]byte)(frame)[:])>>8 != uint32(n-tcpcrypt.HeaderLen) { // one whole frame, no control bit is set
			break
		}
		if i+packetsAhead < len(burst) {
			o.openAhead(burst[i+packetsAhead].M, packetsAhead)
		}
		x.turn()
		x.short(&seg, s, peer, &r.Host)
		if ack := e.WAck + uint64(fresh); fresh == 0 && s.Win != 0 && ack+uint64(s.Win)<<peer.WScale == e.WEdge {
			e.WL1 = max(e.WL1, w)
		} else {
			seg.Len = n
			var news ackNews
			x.ackFromWire(&seg, int64(w), int64(ack), &news)
			seg.Len = 0
		}
		s.NoteHeaders() // for who takes the frame when it is opened, if that is not openedCommon
		k := len(o.Opens)
		o.Opens, o.openRefs = o.Opens[:k+1], o.openRefs[:k+1]
		openOp(&o.Opens[k], key, &in.NR, w, frame, n)
		ref := &o.openRefs[k]
		ref.r, ref.flow, ref.m, ref.w, ref.p = r, x.idx, m, WPos(w), 0
		ref.off, ref.n, ref.hdrEnd, ref.kind, ref.flags = off, n, off, openNext, s.Flags
		ref.large, ref.delivery, ref.rekey = 0, 0, false
		ref.tsVal, ref.tsEcr, ref.hasTS, ref.common, ref.header = seg.TSVal, seg.TSEcr, ts, true, uint8(header)
		in.WNext = w + uint64(n)
		in.WAcked = max(in.WAcked, in.WAckH)
		if x.peerISN()+uint32(in.WAcked) != in.AckTold {
			x.ackWire()
		}
		taken++
	}
	return taken
}

// short makes seg what is needed of a segment without payload from an end, and learns from it.
func (x *Run) short(seg *Segment, s *packet.Packet, from, to *flowtable.Endpoint) {
	seg.M, seg.Off, seg.Win, seg.Flags = s.M, s.M.DataOff()+int(s.Payload), s.Win, s.Flags
	if seg.HasTS {
		seg.TSVal, seg.TSEcr = s.Opt.TSVal, s.Opt.TSEcr
		from.TSVal = seg.TSVal
	} else {
		seg.TSVal, seg.TSEcr = from.TSVal, to.TSVal
	}
	x.learn(seg, from)
}

// sendReady makes the headers of an emit of a train, if there is one, and asks for the lines of the packet that comes packetsAhead behind the
// one that it is of, with which burst begins.
func (x *Run) sendReady(em *Emit, header int, burst []packet.Packet, fromHost bool) {
	o := x.out
	if em == nil {
		o.Ahead(burst, fromHost)
		return
	}
	ops := o.Opens
	if fromHost {
		ops = o.Seals
	}
	packet.TranslateRun(burst, 1, header, &em.Moved, unsafe.Sizeof(*em), opsOn(ops, len(ops)), 0)
	em.Kind = EmitReady
}

// opsOn returns where the operation lies that comes packetsAhead behind the one at a place of ops, or would lie there.
func opsOn(ops []cryptobatch.Op, at int) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(ops))) + uintptr(at+packetsAhead)*unsafe.Sizeof(cryptobatch.Op{})
}
