package stream

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// The gateway is the receiver of both streams, and judges every segment as a receiver does before it learns anything from it:
// RFC 9293 section 3.10.7.4, with the bounds of RFC 5961 and the timestamps of RFC 7323 section 5. Timestamps, windows,
// acknowledgements, and the worker's templates and idle timers come from segments that passed here, and from no others.

// challengeInterval is how often, in ns, one side of a connection is told at most how far the gateway is in answer to what it
// would not believe (RFC 5961 section 7). Each connection has its own, so that none tells of another's.
const challengeInterval = 500e6

// timestampLife is for how many ns of silence a timestamp counts: half of the 32-bit space at the fastest clock that RFC 7323
// section 5.5 knows.
const timestampLife = 24 * 24 * 3600 * 1e9

// acceptHost judges a segment of the host's that is no RST, at plaintext position p, and that acknowledges the far end's up to ack. It
// is false where the segment was taken care of: dropped, or answered as what has been received before.
func (f *flow) acceptHost(seg *Segment, p, ack int64) bool {
	e, in := &f.r.Egress, &f.r.Ingress
	host := &f.r.Host
	if seg.Flags&(SYN|ACK) == ACK && p == int64(e.PNext) && ack >= int64(in.HostAck) && ack <= int64(in.PNext) &&
		f.r.Local.Reassembly == 0 && later(seg.TSVal, host.TSVal) {
		f.learn(seg, host) // as nearly every segment is
		host.TSVal = seg.TSVal
		return true
	}
	n := seg.positions()
	switch {
	case seg.Flags&SYN != 0:
		return f.disbelieve(seg, flowtable.Inside, shm.DropEgressSYN)
	case f.overtaken(seg, host):
		return f.disbelieve(seg, flowtable.Inside, shm.DropEgressPAWS)
	case seg.Flags&ACK == 0 || ack > int64(f.hostNext()) || ack < int64(in.HostAck)-int64(f.r.Host.Win):
		return f.disbelieve(seg, flowtable.Inside, shm.DropEgressAck)
	case p > f.hostLimit()+1:
		return f.disbelieve(seg, flowtable.Inside, shm.DropEgressOutside)
	case p == int64(e.PUna)-1 && n == seg.Len && n <= 1:
		// A keep-alive, or a probe of the far end's window: the far end is asked.
		seg.Accepted = true
		f.probe(seg)
		return false
	case p+int64(n) <= int64(e.PUna) && n > 0:
		f.hostRepeats(seg, p, n)
		return false
	case p < int64(e.PUna) && n == 0:
		return f.disbelieve(seg, flowtable.Inside, shm.DropEgressOld)
	}
	f.learnStamp(seg, host, p <= int64(e.PNext)) // a retransmission tells its own: the far end's echo shows what it answers
	f.learn(seg, host)
	return true
}

// acceptWire is acceptHost for a segment of the far end's at wire position w that acknowledges the wire up to ack.
func (f *flow) acceptWire(seg *Segment, w, ack int64) bool {
	e, in := &f.r.Egress, &f.r.Ingress
	peer := &f.r.Peer
	next := int64(f.received())
	if seg.Flags&(SYN|ACK) == ACK && w == next && ack >= int64(e.WAck) && ack <= int64(e.WNext) &&
		w <= int64(in.WEdge) && later(seg.TSVal, peer.TSVal) {
		f.learn(seg, peer)
		peer.TSVal = seg.TSVal
		return true
	}
	n := seg.positions()
	switch {
	case seg.Flags&SYN != 0:
		return f.disbelieve(seg, flowtable.Outside, shm.DropIngressSYN)
	case f.overtaken(seg, peer):
		return f.disbelieve(seg, flowtable.Outside, shm.DropIngressPAWS)
	case seg.Flags&ACK == 0 || ack > int64(e.WNext) || ack < int64(e.WAck)-int64(f.r.Peer.Win):
		return f.disbelieve(seg, flowtable.Outside, shm.DropIngressAck)
	case w > int64(max(in.WEdge, in.WAcked))+1:
		return f.disbelieve(seg, flowtable.Outside, shm.DropIngressWindow)
	case w == int64(in.WAcked)-1 && n == 0:
		if atFIN(f.r, uint64(w)) && ack > int64(e.WAck) {
			break // of an end that does not count its FIN, and acknowledges all the same: no keep-alive tells anything new
		}
		seg.Accepted = true
		f.wireKeepAlive(seg)
		return false
	case w+int64(n) <= int64(in.WAcked) && n > 0:
		f.wireRepeats(seg, w, n)
		return false
	case w < int64(in.WAcked) && n == 0:
		return f.disbelieve(seg, flowtable.Outside, shm.DropIngressOld)
	}
	// What comes again of whole frames tells its timestamp once it is opened again: see learnAgain.
	f.learnStamp(seg, peer, w == next || w < next && w+int64(n) > int64(in.WNext))
	f.learn(seg, peer)
	return true
}

// positions is what a segment takes of its stream: its payload and its FIN.
func (s *Segment) positions() int { return s.Len + int(s.Flags&FIN) }

// reordered is by how many ticks a segment with data may be older than one received before: a second where a tick is a millisecond.
// Plaintext that was overtaken inside by its own sender's retransmissions is not lost for that; the far end sees no timestamp go
// back, because it gets the latest.
const reordered = 1 << 10

// overtaken reports whether a segment is older than one of the same end that was received before (PAWS, RFC 7323 section 5.3).
func (f *flow) overtaken(seg *Segment, from *flowtable.Endpoint) bool {
	if !seg.HasTS || f.now-f.r.LastSeen >= timestampLife {
		return false
	}
	age := int32(from.TSVal - seg.TSVal)
	return age > 0 && (seg.positions() == 0 || age > reordered)
}

// hostLimit is the right edge of all that the host may ever have been allowed to send.
func (f *flow) hostLimit() int64 {
	e := &f.r.Egress
	return int64(max(e.PUna+uint64(f.r.Peer.Win), e.PNext))
}

// learn takes what an acceptable segment says of its end, but for its timestamp.
func (f *flow) learn(seg *Segment, from *flowtable.Endpoint) {
	seg.Accepted = true
	f.r.LastSeen = f.now
	from.Win = max(from.Win, uint32(seg.Win)<<from.WScale)
}

// learnStamp takes an acceptable segment's timestamp, before learn. It only counts if nothing in front of the segment is missing: what
// was lost may come with an older one. The receiver behind the gateway judges by what it has acknowledged (RFC 7323 section 4.3);
// the gateway passes everything on at once, so that for it this is what it has received.
func (f *flow) learnStamp(seg *Segment, from *flowtable.Endpoint, inOrder bool) {
	if seg.HasTS && inOrder && (f.now-f.r.LastSeen >= timestampLife || later(seg.TSVal, from.TSVal)) {
		from.TSVal = seg.TSVal
	}
}

// stamps makes a segment's timestamps those of its flow: one that carries none, or was not to, tells nothing and echoes nothing,
// and what is made of it carries what was learnt before.
func (f *flow) stamps(seg *Segment, from, to *flowtable.Endpoint) {
	seg.HasTS = seg.HasTS && f.r.Flags&flowtable.FlagTimestamps != 0
	if !seg.HasTS {
		seg.TSVal, seg.TSEcr = from.TSVal, to.TSVal
	}
}

// disbelieve drops a segment that is not acceptable and tells the side that it came from how far the gateway is. It is false.
func (f *flow) disbelieve(seg *Segment, from flowtable.Side, why shm.Counter) bool {
	f.drop(seg.M, why)
	f.challenge(from)
	return false
}

// challenge sends a side a challenge ACK: who sent the segment in earnest answers it with numbers that are right.
func (f *flow) challenge(to flowtable.Side) {
	if !f.c.MayChallenge(f.r, to, f.now) {
		return
	}
	if to == flowtable.Inside {
		f.ackHost()
	} else {
		f.ackWire()
	}
}

// MayChallenge reports whether it is time for another acknowledgement in answer to what is not believed, and counts that it is sent, or is not.
func (c *Core) MayChallenge(r *flowtable.Record, to flowtable.Side, now int64) bool {
	if !mayChallenge(r, to, now) {
		c.n[shm.ChallengesSpared]++
		return false
	}
	c.n[shm.ChallengeAcks]++
	return true
}

// mayChallenge reports whether it is time for another answer to what is not believed.
func mayChallenge(r *flowtable.Record, to flowtable.Side, now int64) bool {
	last := &r.Rare.Challenged[to]
	if *last != 0 && now-*last < challengeInterval {
		return false
	}
	*last = now
	return true
}

// hostRepeats answers a host's segment that the far end has acknowledged in full.
func (f *flow) hostRepeats(seg *Segment, p int64, n int) {
	f.drop(seg.M, shm.DropEgressOld)
	if em := f.ownHostAck(); em != nil {
		f.reportTwice(em, seg, uint32(p)+f.hostISN(), n)
	}
	if f.wireNews() {
		f.ackWire()
	}
	f.checkClosed()
}

// wireRepeats answers a segment of the far end's that the gateway has acknowledged in full.
func (f *flow) wireRepeats(seg *Segment, w int64, n int) {
	f.drop(seg.M, shm.DropIngressOld)
	if em := f.ownWireAck(); em != nil {
		f.reportTwice(em, seg, uint32(w)+f.peerISN(), n)
		f.queuedSACK(em)
	}
	f.checkClosed()
}

// wireKeepAlive passes a keep-alive on to the host, whose answer it asks for; where the host cannot answer for all that was
// acknowledged, the gateway does.
func (f *flow) wireKeepAlive(seg *Segment) {
	if f.r.Local.Reassembly != 0 || f.r.Ingress.Flags&flowtable.IngressKeys == 0 {
		f.c.cache.Free(seg.M)
		f.ackWire()
		return
	}
	if em := f.emit(EmitForward, ToHost, seg.M, seg.Off, 0); em != nil {
		moveHeaders(seg.M, seg.Off, seg.Off, 0)
		em.Seq = f.peerISN() + uint32(f.r.Ingress.HostAck) - 1
		em.Ack, em.Win = f.toHost()
		f.stampHost(em, seg)
	}
}

// reportTwice makes an acknowledgement's first SACK block say that the n positions at from came twice (RFC 2883 section 4). It echoes
// the timestamp of the segment that it answers: if the first acknowledgement was lost, its sender would otherwise take the time until
// it retransmitted for a round trip. Nothing is learnt from that timestamp, as it may be forged.
func (f *flow) reportTwice(em *Emit, seg *Segment, from uint32, n int) {
	em.TSEcr = seg.TSVal
	if f.r.Flags&flowtable.FlagSACK != 0 {
		em.SACK[0], em.NSACK = [2]uint32{from, from + uint32(n)}, 1
	}
}

// stampHost and stampWire give a segment that is passed on the latest timestamp its end was heard to say, so that the receiver
// sees none go back (RFC 7323 section 5.3), and the echo it came with.
func (f *flow) stampHost(em *Emit, seg *Segment) { em.stamp(seg, f.r.Peer.TSVal) }

func (f *flow) stampWire(em *Emit, seg *Segment) { em.stamp(seg, f.r.Host.TSVal) }

func (em *Emit) stamp(seg *Segment, val uint32) {
	em.TSVal, em.TSEcr = val, seg.TSEcr
	em.NewTS = seg.HasTS && seg.TSVal != val
}
