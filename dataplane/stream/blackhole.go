package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
)

// Bounds of what a host's retransmissions tell of the path. Pieces shorter than leastSign come of other things, as probes of a
// closed window; no path that is believed takes less than 552 bytes of IPv4 or 1280 of IPv6, 40 and 60 of them headers.
const (
	leastSign = 256
	leastMSS4 = 552 - 40
	leastMSS6 = 1280 - 60

	signLife = int64(600e9) // ns that the sign is heeded, as path MTUs that an error told of
)

// blackHole heeds the sign of a path that drops long segments and says nothing (RFC 4821, RFC 8899 section 4.3): a host that sends
// the bytes of a frame again, from where the frame begins, in a shorter segment has found out by itself. From now on segments to
// the wire are no longer than the host's, for this connection alone, since the host may be wrong.
func (f *flow) blackHole(seg *Segment, p int64) {
	if seg.Len < leastSign || seg.Len+tcpcrypt.Overhead >= f.wirePayload() {
		return // or as long as frames may be, since the host was told
	}
	least := leastMSS6
	if f.r.Key.IPv4() {
		least = leastMSS4
	}
	limit := max(seg.Len+f.tsOverhead(), least)
	e := &f.r.Egress
	at := int64(e.PUna)
	it := f.c.chunks.Iter(&e.Queue)
	for en, _ := it.Next(); en != nil && at <= p; en, _ = it.Next() {
		n := int(en.Len) - int(en.Over)
		if at == p && n > seg.Len && limit < int(bounded(f.r.Peer.MSS, f.r.Local.PeerPath)) {
			f.r.Local.PeerPath, f.r.Local.PathGen, f.r.Rare.CutUntil = uint16(limit), 0, f.now+signLife
			f.c.n[shm.BlackHoles]++
			return
		}
		at += int64(plainLen(en))
	}
}
