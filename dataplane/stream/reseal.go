package stream

import (
	"crypto/subtle"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// keySpare is how many key slots stay free for rekeying before old generations are kept for frames in flight.
const keySpare = 512

// maxMismatches is how many frames in a row may come again with other bytes before the connection is aborted.
const maxMismatches = 3

// sealedUnder returns the expanded key and the nonce randomizer of the generation that a frame at w was sealed under, 0 where the key
// is gone.
func sealedUnder(r *flowtable.Record, w uint64) (key uint32, nr *[12]byte) {
	switch l := &r.Local; {
	case w >= r.Rare.WSeal:
		return l.SealKey, &r.Egress.NR
	case w >= l.WOldSeal:
		return l.OldSealKey, &l.OldSealNR
	}
	return 0, nil
}

// sealable reports whether the frame can be sealed again.
func sealable(r *flowtable.Record, en *flowtable.Entry) bool {
	key, _ := sealedUnder(r, en.WEnd-uint64(en.Len))
	return key != 0
}

// keepOldKey makes the current generation of what is sealed the old one while frames of it are in flight, unless key slots are scarce:
// its frames are not dropped then. The next generation begins with the next frame.
func (f *flow) keepOldKey(nr [12]byte) {
	l, e := &f.r.Local, &f.r.Egress
	f.c.keys.retire(l.OldSealKey)
	l.OldSealKey, l.OldSealNR, l.WOldSeal = l.SealKey, nr, f.r.Rare.WSeal
	f.r.Rare.WSeal = e.WNext
	if e.WUna == e.WNext || len(f.c.keys.free) <= min(f.c.cfg.Keys/4, keySpare) {
		f.dropOld()
	}
}

// dropOldKey gives the old generation up once nothing of it is in flight.
func (f *flow) dropOldKey() {
	if f.r.Local.OldSealKey != 0 && f.r.Egress.WUna >= f.r.Rare.WSeal {
		f.dropOld()
	}
}

func (f *flow) dropOld() {
	l := &f.r.Local
	f.c.keys.retire(l.OldSealKey)
	l.OldSealKey, l.OldSealNR = 0, [12]byte{}
}

// sealAgain takes the host's plaintext from p on for a frame whose bytes were dropped, and which begins at plaintext position at. Once
// the whole frame has come, in one segment or in several that follow each other, it is sealed as it was the first time; it leaves
// when its tag is the ledger's, see resealed.
func (f *flow) sealAgain(seg *Segment, p int64, en *flowtable.Entry, id flowtable.EntryID, at int64) {
	plain := int(en.Plain())
	from := int(p - at)            // of the segment's data, in the frame
	to := min(from+seg.Len, plain) // and where it ends
	k := &f.c.kept[id]
	have := int(k.n)
	if from > have || to < have {
		f.count(shm.DropResealPart)
		return
	}
	whole := to == plain && (en.Flags&flowtable.EntryFIN == 0 || seg.Flags&FIN != 0 && from+seg.Len == plain)
	buf := k.m
	switch {
	case buf != nil:
	case whole: // nothing is to be held
		buf = f.c.cache.Alloc()
	case f.c.mayHold(f.r):
		if buf = f.c.cache.Alloc(); buf != nil {
			*k = kept{m: buf, kind: keptPart}
			f.c.shares.take(f.r)
		}
	}
	head := int(en.Over) - tcpcrypt.TagLen
	off := 0
	if buf != nil {
		off = min(BuildOffset, int(buf.BufLen)-int(en.Len))
	}
	if buf == nil || off < 0 {
		f.c.cache.Free(buf)
		f.count(shm.DropResend)
		return
	}
	copy(buf.Buf()[off+head+have:], seg.M.Buf()[seg.Off+have-from:seg.Off+to-from])
	if k.kind == keptPart {
		k.n = uint16(to)
	}
	if !whole {
		return
	}
	if k.kind == keptPart {
		f.c.shares.give(f.r)
		*k = kept{}
	}
	f.queueReseal(seg, en, id, buf, off)
}

// queueReseal asks for a frame to be sealed as it was the first time. Its plaintext lies in place; the buffer is the operation's.
func (f *flow) queueReseal(seg *Segment, en *flowtable.Entry, id flowtable.EntryID, m *mbuf.Mbuf, off int) {
	o := f.out
	w := en.WEnd - uint64(en.Len)
	key, nr := sealedUnder(f.r, w)
	if key == 0 || len(o.Seals) == cap(o.Seals) {
		f.drop(m, shm.DropResend)
		return
	}
	var flags byte
	b := m.Buf()[off : off+int(en.Len) : off+int(en.Len)]
	if en.Flags&flowtable.EntryFIN != 0 {
		flags |= tcpcrypt.FlagFIN
	}
	if en.Flags&flowtable.EntryURG != 0 {
		flags |= tcpcrypt.FlagURG
		b[tcpcrypt.HeaderLen+tcpcrypt.FlagsLen], b[tcpcrypt.HeaderLen+tcpcrypt.FlagsLen+1] = byte(en.Urg>>8), byte(en.Urg)
	}
	b[tcpcrypt.HeaderLen] = flags
	h, _ := tcpcrypt.NewHeader(len(b)-tcpcrypt.HeaderLen-tcpcrypt.TagLen, en.Flags&flowtable.EntryRekey != 0)
	h.Put(b[:tcpcrypt.HeaderLen])
	o.seal(f.c.keyOf(key), nr, w, b)
	o.reseals = append(o.reseals, reseal{m: m, off: off, tsEcr: seg.TSEcr, flags: seg.Flags & (PSH | ECE | CWR)})
	o.sealRefs = append(o.sealRefs, sealRef{r: f.r, wEnd: en.WEnd, flow: f.idx, entry: id, again: int32(len(o.reseals))})
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
		if f.r.Rare.Mismatches++; f.r.Rare.Mismatches >= maxMismatches {
			f.c.Abort(f.idx, f.r, shm.AbortReseal, f.now, f.out)
		}
		return
	}
	f.r.Rare.Mismatches = 0
	f.count(shm.ResealedFrames)
	seg := Segment{Flags: re.flags, TSEcr: re.tsEcr}
	g := gather{limit: f.wirePayload()}
	k := kept{m: re.m, off: uint16(re.off), kind: keptWhole}
	g.add(f, &seg, en, k)
	g.flush(f, &seg)
	if f.c.kept[ref.entry].m == nil && f.r.Rare.Stalled != f.r.Rare.Progress && f.c.mayHold(f.r) {
		f.c.kept[ref.entry] = k
		f.c.shares.take(f.r)
		return
	}
	f.c.cache.Free(re.m)
}

// wipe frees the buffer of a frame that was sealed again and must not leave.
func (f *flow) wipe(re *reseal) {
	clear(re.m.Buf()[re.off:])
	f.c.cache.Free(re.m)
}
