package worker

import (
	"unsafe"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// overhead is what a frame adds to a segment's payload, and what the MSS is clamped by (RFC 8548 section 4.2: header 3,
// flags 1, tag 16).
const overhead = 20

// stranger handles a segment of a connection that the table does not know. A SYN begins one; anything else belongs to a
// connection older than the gateway, which was never encrypted by it.
func (w *Worker) stranger(s flowtable.Side, p *packet.Packet, k *flowtable.Key, hash uint32, now int64) {
	policy := w.ctl.Policy()
	if !opens(p) {
		w.leavePlain(s, p, policy)
		return
	}
	if policy == flowtable.Disabled {
		w.pass(s, p)
		return
	}
	if !p.VerifyTCP() || !p.VerifyIPv4() {
		w.drop(p, shm.DropChecksum)
		return
	}
	r, i := w.insert(k, hash, now)
	if r == nil {
		if policy == flowtable.Require {
			w.drop(p, shm.DropTableFull)
			return
		}
		w.pass(s, p)
		return
	}
	w.n[shm.FlowsCreated]++
	learn(w.endpoint(s, r), p)
	if s == inside {
		capture(&r.Rare.ToWire, p)
		r.Flags |= flowtable.FlagActive
	} else {
		capture(&r.Rare.ToHost, p)
	}
	w.table.Arm(i, now+w.params.PlainIdle)
	if !w.suits(s, p, now, policy) {
		w.decidePlain(s, p, i, r, policy, hostSpeaksENO(s, p))
		return
	}
	b, n := w.blocks.take()
	if b == nil {
		w.n[shm.SetupOverload]++
		w.decidePlain(s, p, i, r, policy, false)
		return
	}
	r.Local.HsBlock = n
	w.hold(b, p)
	b.flow, b.deadline = i, now+w.params.Timeout
	if s == inside {
		w.n[shm.HandshakesActive]++
		w.table.SetState(i, flowtable.ActiveOffer)
		w.ask(r, b, shm.ActiveOpen, now)
	} else {
		w.n[shm.HandshakesPassive]++
		b.setENO(roleA, p.ENO())
		w.table.SetState(i, flowtable.PassiveOffer)
		w.ask(r, b, shm.PassiveOpen, now)
	}
	w.schedule(i, r)
}

// Positions of the two hosts' options and messages in a block.
const (
	roleA = 0
	roleB = 1
)

// insert makes a record, at the cost of a plain connection's where the table is full.
func (w *Worker) insert(k *flowtable.Key, hash uint32, now int64) (*flowtable.Record, flowtable.Index) {
	i, _ := w.table.Insert(k, hash, now)
	if i == 0 {
		if old := w.table.OldestPlain(); old != 0 {
			w.n[shm.FlowsEvicted]++
			w.forget(old, w.table.Record(old))
			i, _ = w.table.Insert(k, hash, now)
		}
	}
	w.changed = true
	if i == 0 {
		return nil, 0
	}
	return w.table.Record(i), i
}

// hostSpeaksENO reports whether an inside host negotiates encryption itself; the gateway keeps out of that.
func hostSpeaksENO(s flowtable.Side, p *packet.Packet) bool {
	return s == inside && p.Opt.HasAny(packet.OptENO)
}

// suits reports whether the connection that a SYN opens is one to be encrypted.
func (w *Worker) suits(s flowtable.Side, p *packet.Packet, now int64, policy flowtable.Policy) bool {
	if p.Opt.Malformed || p.Opt.HasAny(packet.OptBinding) || !w.ctl.Alive(now) || policy == flowtable.Disabled {
		return false
	}
	if s == inside {
		return !p.Opt.HasAny(packet.OptENO)
	}
	// More than one ENO option counts as none (RFC 8547 section 4.1).
	return p.Opt.ENOCount == 1 && p.Opt.ENOLen >= 2
}

// leavePlain passes a segment in the clear if policy lets it.
func (w *Worker) leavePlain(s flowtable.Side, p *packet.Packet, policy flowtable.Policy) {
	if policy == flowtable.Require {
		w.drop(p, shm.DropUnknownFlow)
		return
	}
	w.pass(s, p)
}

// decidePlain leaves the connection of a SYN in the clear, or refuses it where policy requires encryption.
func (w *Worker) decidePlain(s flowtable.Side, p *packet.Packet, i flowtable.Index, r *flowtable.Record, policy flowtable.Policy, ownENO bool) {
	if policy != flowtable.Require || ownENO {
		w.pass(s, p)
		return
	}
	why := shm.DropRefused
	if !w.ctl.Alive(w.now) {
		why = shm.DropControlPlane
	}
	w.n[why]++
	w.n[shm.HandshakesRefused]++
	w.refuseSYN(s, p)
	w.remove(i, r)
}

// refuseSYN answers a SYN as a closed port does.
func (w *Worker) refuseSYN(s flowtable.Side, p *packet.Packet) {
	var t packet.Template
	t.FromPacket(p)
	t.Reverse()
	ack := p.Seq + p.SegLen()
	w.cache.Free(p.M)
	w.send(s, &t, &packet.Seg{Ack: ack, Flags: packet.FlagRST | packet.FlagACK})
}

// endpoint returns what the record knows of the sender of segments from side s.
func (w *Worker) endpoint(s flowtable.Side, r *flowtable.Record) *flowtable.Endpoint {
	if s == inside {
		return &r.Host
	}
	return &r.Peer
}

// learn takes from a SYN or SYN-ACK what it says about its sender.
func learn(e *flowtable.Endpoint, p *packet.Packet) {
	*e = flowtable.Endpoint{ISN: p.Seq, MSS: 536, Flags: flowtable.EndpointSYN, Win: uint32(p.Win)}
	if p.Ver == 6 {
		e.MSS = 1220
	}
	if p.Opt.Malformed {
		return
	}
	if p.Opt.Has(packet.OptMSS) && p.Opt.MSS > overhead {
		e.MSS = p.Opt.MSS
	}
	if p.Opt.Has(packet.OptWScale) {
		e.Flags |= flowtable.EndpointWScale
		e.WScale = min(p.Opt.WScale, 14)
	}
	if p.Opt.Has(packet.OptSACKPermitted) {
		e.Flags |= flowtable.EndpointSACK
	}
	if p.Opt.Has(packet.OptTimestamps) {
		e.Flags |= flowtable.EndpointTS
		e.TSVal = p.Opt.TSVal
	}
}

// agree settles what the SYNs of both ends agreed on.
func agree(r *flowtable.Record) {
	both := r.Host.Flags & r.Peer.Flags
	if both&flowtable.EndpointSACK != 0 {
		r.Flags |= flowtable.FlagSACK
	}
	if both&flowtable.EndpointTS != 0 {
		r.Flags |= flowtable.FlagTimestamps
	}
	if both&flowtable.EndpointWScale != 0 {
		r.Flags |= flowtable.FlagWScale
	} else {
		r.Host.WScale, r.Peer.WScale = 0, 0
	}
}

// template returns the record's template as package packet's.
func template(t *flowtable.Template) *packet.Template { return (*packet.Template)(unsafe.Pointer(t)) }

var _ [unsafe.Sizeof(flowtable.Template{}) - unsafe.Sizeof(packet.Template{})]byte

func capture(t *flowtable.Template, p *packet.Packet) { template(t).FromPacket(p) }
