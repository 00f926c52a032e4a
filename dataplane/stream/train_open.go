package stream

import (
	"encoding/binary"
	"unsafe"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// wholeFrames returns how many segments of a train that began with first are whole frames to be opened, in order and with an acknowledgement and
// a window that are known: as many as the output has room for, and before the pool's state is looked at again, see turn.
func (x *Run) wholeFrames(pkts []packet.Packet, first *packet.Packet, ts bool, most int) int {
	c, r, o := x.c, x.r, x.out
	e, in := &r.Egress, &r.Ingress
	seq, ack := r.Peer.ISN+1+uint32(in.WNext), r.Host.ISN+1+uint32(e.WAck)
	opens := len(o.Opens)
	n := min(len(pkts), lookEvery-1-int(c.calls%lookEvery), cap(o.Opens)-opens, (cap(o.Emits)-len(o.Emits)-openEmits*opens-1)/openEmits)
	if !r.Local.Common || x.peerISN()+uint32(max(in.WAcked, in.WAckH)) != in.AckTold {
		return 0
	}
	stamp, header, w, window, scale := r.Peer.TSVal, int(first.Payload), in.WNext, e.WEdge-e.WAck, r.Peer.WScale
	for i := range n {
		s := &pkts[i]
		size, m := int(s.PayloadLen), s.M
		frame := (*[frameHead]byte)(unsafe.Add(m.BufAddr, m.DataOff()+header))
		if s.Seq != seq || s.Ack != ack || s.Win == 0 || uint64(s.Win)<<scale != window || w > in.WEdge || size <= tcpcrypt.Overhead || size > most ||
			!s.Alike(first) || ts && !later(s.Opt.TSVal, stamp) || binary.BigEndian.Uint32(frame[:])>>8 != uint32(size-tcpcrypt.HeaderLen) {
			return i
		}
		seq += uint32(size)
		stamp = s.Opt.TSVal
		w += uint64(size)
	}
	return max(n, 0)
}

// openRun makes operations of the first n segments of a burst, as fastOpen does of one.
func (x *Run) openRun(burst []packet.Packet, n, header int, ts bool) {
	c, r, o := x.c, x.r, x.out
	e, in, peer := &r.Egress, &r.Ingress, &r.Peer
	c.calls += uint8(n)
	r.LastSeen = x.now
	peer.Win = max(peer.Win, uint32(burst[0].Win)<<peer.WScale)
	k := len(o.Opens)
	o.Opens, o.openRefs = o.Opens[:k+n], o.openRefs[:k+n]
	w := in.WNext
	for i := 0; i < n; i += packetsAhead {
		part := min(n-i, packetsAhead)
		if later := burst[min(i+packetsAhead, len(burst)):min(i+packetsAhead+part, len(burst))]; len(later) > 0 {
			packet.PrefetchRun(later, opsOn(o.Opens, k+i), unsafe.Sizeof(cryptobatch.Op{}), refsOn(o.openRefs, k+i), unsafe.Sizeof(openRef{}))
		}
		w = x.openPart(burst[i:i+part], o.Opens[k+i:], o.openRefs[k+i:], w, header, ts)
	}
	last := &burst[n-1]
	if ts {
		peer.TSVal = last.Opt.TSVal
	}
	e.WL1 = max(e.WL1, w-uint64(last.PayloadLen))
	in.WNext = w
	in.WAcked = max(in.WAcked, in.WAckH)
}

// openPart makes the operations of some segments, the first of which lies at wire position w, and returns what is behind them.
func (x *Run) openPart(pkts []packet.Packet, ops []cryptobatch.Op, refs []openRef, w uint64, header int, ts bool) uint64 {
	r, idx, peer, host := x.r, x.idx, x.r.Peer.TSVal, x.r.Host.TSVal
	key, nr := x.c.keyOf(r.Local.OpenKey), &r.Ingress.NR
	ops, refs = ops[:len(pkts)], refs[:len(pkts)]
	for i := range pkts {
		s, ref := &pkts[i], &refs[i]
		m, n := s.M, int(s.PayloadLen)
		off := m.DataOff() + header
		s.NoteHeaders() // for who takes the frame when it is opened, if that is not openedCommon
		openOp(&ops[i], key, nr, w, unsafe.Add(m.BufAddr, off), n)
		ref.r, ref.flow, ref.m, ref.w, ref.p = r, idx, m, WPos(w), 0
		ref.off, ref.n, ref.hdrEnd, ref.kind, ref.flags = off, n, off, openNext, s.Flags
		ref.large, ref.delivery, ref.rekey = 0, 0, false
		ref.tsVal, ref.tsEcr, ref.hasTS, ref.common, ref.header = peer, host, ts, true, uint8(header)
		if ts {
			ref.tsVal, ref.tsEcr = s.Opt.TSVal, s.Opt.TSEcr
		}
		w += uint64(n)
	}
	return w
}

// refsOn is opsOn for what goes with the operations.
func refsOn(refs []openRef, at int) uintptr {
	return uintptr(unsafe.Pointer(unsafe.SliceData(refs))) + uintptr(at+packetsAhead)*unsafe.Sizeof(openRef{})
}

// deliverRun delivers frames of trains, from the first of refs on, that are authentic, as openedCommon does one, and returns how many: those
// of one connection, in its common state, that carry data and nothing else, as many as its ledger's last chunk and the output have room for.
// The first comes behind another of the connection that was delivered so, of which before tells.
func (f *flow) deliverRun(refs []openRef, ops []cryptobatch.Op, before *delivered) int {
	c, r, o := f.c, f.r, f.out
	in, e := &r.Ingress, &r.Egress
	q, first := &in.Queue, &refs[0]
	entries := c.chunks.Behind(q)
	if first.header == 0 || !r.Local.Common {
		return 0
	}
	n := min(len(refs), len(entries), cap(o.Emits)-len(o.Emits))
	if q.Count+uint32(n) > minFlight {
		free := (c.chunks.Free() - c.chunks.Len()/8) * flowtable.ChunkEntries // see pushOpened
		n = min(n, int(c.cfg.FlowFrames)-int(q.Count), free-(int(q.Count)-minFlight))
	}
	w := in.WOpen
	run := 0
	for ; run < n; run++ {
		ref := &refs[run]
		if !ref.common || ref.r != r || ref.header != first.header || ops[run].Status != cryptobatch.StatusOK || uint64(ref.w) != w ||
			ref.n <= tcpcrypt.Overhead || *(*byte)(unsafe.Add(ref.m.BufAddr, ref.off+tcpcrypt.HeaderLen))&(tcpcrypt.FlagFIN|tcpcrypt.FlagURG) != 0 {
			break
		}
		w += uint64(ref.n)
	}
	if run < 2 {
		return 0
	}
	at := len(o.Emits)
	o.Emits = o.Emits[:at+run]
	ems := o.Emits[at:]
	mbuf.PrefetchEvery(unsafe.Pointer(&ems[0]), unsafe.Sizeof(Emit{}), run)
	w, p := in.WOpen, in.PNext
	seq, tsVal := f.peerISN(), r.Peer.TSVal
	for i := range entries[:run] {
		ref, em := &refs[i], &ems[i]
		w += uint64(ref.n)
		entries[i] = flowtable.Entry{WEnd: w, Len: uint32(ref.n), Over: tcpcrypt.Overhead}
		n := ref.n - tcpcrypt.Overhead
		em.R, em.M, em.Flow, em.Off, em.Len = r, ref.m, f.idx, ref.off+frameHead, n
		em.Seq, em.Ack, em.Win, em.Flags = seq+uint32(p), e.AckTold, e.WinTold, ref.flags
		em.TSVal, em.TSEcr, em.HasTS, em.NewTS = tsVal, ref.tsEcr, ref.hasTS, ref.hasTS && ref.tsVal != tsVal
		em.Dir, em.Kind = ToHost, EmitReady
		p += uint64(n)
	}
	q.Append(run)
	ahead := packet.Ahead{Stride: unsafe.Sizeof(openRef{}), N: len(refs) - packetsAhead, Notes: refsOn(refs, 0), NoteStride: unsafe.Sizeof(openRef{})}
	if ahead.N > 0 {
		ahead.First = unsafe.Pointer(&refs[packetsAhead].m)
	}
	packet.TranslateRun(&ems[0].Moved, unsafe.Sizeof(Emit{}), run, int(first.header), ahead)
	for i := range refs[:run] {
		refs[i].m = nil
	}
	c.n[shm.OpenedFrames] += uint64(run)
	c.n[shm.OpenedBytes] += p - in.PNext
	c.n[shm.WindowLimited] += before.limited * uint64(run)
	in.WOpen, in.PNext = w, p
	return run
}
