package stream

import (
	"crypto/subtle"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// maxMismatches is how many frames in a row may come again with other bytes before the connection is aborted.
const maxMismatches = 3

// sealAgain takes the host's plaintext from p on for a frame whose bytes were dropped, and which begins at plaintext position at. Once
// the whole frame has come, in one segment or in several that follow each other, it is sealed as it was the first time; it leaves
// when its tag is the ledger's, see resealed.
func (f *flow) sealAgain(seg *Segment, p int64, en *flowtable.Entry, id flowtable.EntryID, at int64) {
	plain := int(en.Plain())
	from := int(p - at)            // of the segment's data, in the frame
	to := min(from+seg.Len, plain) // and where it ends
	k := &f.c.kept[id]
	have := int(k.n)
	whole := to == plain && (en.Flags&flowtable.EntryFIN == 0 || seg.Flags&FIN != 0 && from+seg.Len == plain)
	if from > have || to <= have && !whole {
		f.count(shm.DropResealPart)
		if have > 0 && en.WEnd-uint64(en.Len) == f.r.Egress.WUna {
			f.ackPart(have)
		}
		return
	}
	if !f.partRoom(k, whole) {
		f.count(shm.DropResend)
		return
	}
	off := resealOffset(k.m, en)
	copy(k.m.Buf()[off+int(en.Over)-tcpcrypt.TagLen+have:], seg.M.Buf()[seg.Off+have-from:seg.Off+to-from])
	k.n = uint16(to)
	if whole {
		f.queueReseal(seg, en, id, off)
	}
}

// partRoom provides the buffer in which a frame is put together, if need be.
func (f *flow) partRoom(k *kept, whole bool) bool {
	if k.m != nil {
		return true
	}
	if !whole && !f.c.mayHold(f.r) {
		return false
	}
	m := f.c.cache.Alloc()
	if m == nil {
		return false
	}
	*k = kept{m: m, kind: keptPart}
	f.c.shares.take(f.r)
	return true
}

// resealOffset is where a frame is sealed again in a buffer: the largest one fills it.
func resealOffset(m *mbuf.Mbuf, en *flowtable.Entry) int {
	return max(min(BuildOffset, int(m.BufLen)-int(en.Len)), 0)
}

// ackPart acknowledges to the host what came again of the oldest frame in flight. A host that sends this part over and over may be
// waiting for nothing else before it sends the rest. The part is the gateway's to keep now, until the far end has the frame.
func (f *flow) ackPart(have int) {
	f.r.Egress.PartAcked = uint16(have)
	f.ackHost()
}

// queueReseal asks for a frame to be sealed as it was the first time. Its plaintext has been put together; the buffer becomes the
// operation's.
func (f *flow) queueReseal(seg *Segment, en *flowtable.Entry, id flowtable.EntryID, off int) {
	o, k := f.out, &f.c.kept[id]
	w := en.WEnd - uint64(en.Len)
	key, nr := f.c.sealedUnder(f.r, w)
	if key == 0 || len(o.Seals) == cap(o.Seals) || off+int(en.Len) > int(k.m.BufLen) {
		f.count(shm.DropResend)
		return
	}
	var flags byte
	b := k.m.Buf()[off : off+int(en.Len) : off+int(en.Len)]
	if en.Flags&flowtable.EntryFIN != 0 {
		flags |= tcpcrypt.FlagFIN
	}
	if en.Flags&flowtable.EntryURG != 0 {
		const at = tcpcrypt.HeaderLen + tcpcrypt.FlagsLen
		flags |= tcpcrypt.FlagURG
		b[at], b[at+1] = byte(en.Urg>>8), byte(en.Urg)
	}
	b[tcpcrypt.HeaderLen] = flags
	h, _ := tcpcrypt.NewHeader(len(b)-tcpcrypt.HeaderLen-tcpcrypt.TagLen, en.Flags&flowtable.EntryRekey != 0)
	h.Put(b[:tcpcrypt.HeaderLen])
	o.seal(f.c.keyOf(key), nr, w, b)
	o.reseals = append(o.reseals, reseal{m: k.m, off: off, tsEcr: seg.TSEcr, flags: seg.Flags & (PSH | ECE | CWR)})
	o.sealRefs = append(o.sealRefs, sealRef{r: f.r, wEnd: en.WEnd, flow: f.idx, entry: id, again: int32(len(o.reseals))})
	f.c.shares.give(f.r)
	*k = kept{}
}

// reseal goes with an operation that seals a frame again: where the frame lies, and what goes into its segment besides.
type reseal struct {
	m     *mbuf.Mbuf
	off   int
	tsEcr uint32
	flags uint8
}

// resealed takes a frame that was sealed again. Only if its tag is the ledger's are its bytes those that left the first time. Otherwise
// they are erased: two texts under one nonce would give both away.
func (f *flow) resealed(ref *sealRef, re *reseal, ok bool) {
	e := &f.r.Egress
	if e.Flags&flowtable.EgressDead != 0 || ref.wEnd <= e.WUna {
		f.wipe(re)
		f.count(shm.DropClosed)
		return
	}
	en := f.c.chunks.At(ref.entry)
	b := re.m.Buf()[re.off : re.off+int(en.Len)]
	if !ok {
		f.wipe(re)
		f.count(shm.DropEgressSeal)
		f.c.Abort(f.idx, f.r, shm.AbortSeal, f.now, f.out)
		return
	}
	if subtle.ConstantTimeCompare(b[len(b)-tcpcrypt.TagLen:], en.Tag[:]) == 0 {
		f.wipe(re)
		f.count(shm.DropResealMismatch)
		// What was acknowledged does not come again.
		if f.r.Egress.Mismatches++; f.r.Egress.Mismatches >= maxMismatches || f.pinned(en) {
			f.c.Abort(f.idx, f.r, shm.AbortReseal, f.now, f.out)
		}
		return
	}
	f.r.Egress.Mismatches = 0
	f.count(shm.ResealedFrames)
	seg := Segment{Flags: re.flags, TSEcr: re.tsEcr}
	g := gather{limit: f.wirePayload()}
	k := kept{m: re.m, off: uint16(re.off), kind: keptWhole}
	g.add(f, &seg, en, k)
	g.flush(f, &seg)
	if f.c.kept[ref.entry].m == nil && (f.pinned(en) || f.now < f.r.Local.Progress+stallLimit && f.c.mayHold(f.r)) {
		f.c.kept[ref.entry] = k
		f.c.shares.take(f.r)
		return
	}
	f.c.cache.Free(re.m)
}

// pinned reports whether a part of the frame was acknowledged to the host, which will not send it again.
func (f *flow) pinned(en *flowtable.Entry) bool {
	return f.r.Egress.PartAcked > 0 && en.WEnd-uint64(en.Len) == f.r.Egress.WUna
}

// wipe frees the buffer of a frame that was sealed again and must not leave.
func (f *flow) wipe(re *reseal) {
	clear(re.m.Buf()[re.off:])
	f.c.cache.Free(re.m)
}
