package worker

import (
	"sync/atomic"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/stream"
	"linecrypt/flowtable"
)

// Path MTU. Three things bound the segments that the gateway sends: what the receiver announced (Endpoint.MSS), what the
// ports carry, and what ICMP errors told of paths. The last two belong to a port and to a destination (table paths); a
// record has their sum in Local.HostPath and Local.PeerPath and brings it up to date when it next has a segment. Frames that are too long by
// then are cut where they leave (pieces.go), and their host is told.

// PortMTUs are the MTUs of the two ports, which may change while the data plane runs: one goroutine writes, all workers read.
type PortMTUs struct {
	mtu [flowtable.NumSides]atomic.Uint32
}

// Set notes the largest IP packet in bytes that a port carries, 0 when it is not known.
func (m *PortMTUs) Set(s flowtable.Side, mtu int) { m.mtu[s].Store(uint32(min(max(mtu, 0), 65535))) }

// Bounds of path MTUs. An IPv6 path takes 1280 bytes (RFC 8200 section 5); an IPv4 path may take as few as 68, but fewer than
// 552 are nearly always a forged error, and are taken for 552 as Linux does.
const (
	minMTU  = 552
	minMTU6 = 1280

	// minMSS keeps the segments of a far end that announced a tiny MSS at a sane number.
	minMSS = 68
)

// tellEvery is the least time between two errors by which the gateway tells a host of a path's MTU, in ns.
const tellEvery = int64(500e6)

// isIPv4 reports whether an address of a key is one of IPv4.
func isIPv4(a *[16]byte) bool {
	return a[10] == 0xff && a[11] == 0xff && [10]byte(a[:10]) == [10]byte{}
}

// headers is the size of the headers without options in front of a payload, by which MTU and MSS differ.
func headers(v4 bool) uint16 {
	if v4 {
		return 20 + 20
	}
	return 40 + 20
}

// leastMTU is the least that a path is believed to take.
func leastMTU(v4 bool) uint16 {
	if v4 {
		return minMTU
	}
	return minMTU6
}

// lookAtPorts notices ports whose MTU has changed.
func (w *Worker) lookAtPorts() {
	if w.cfg.MTU == nil {
		return
	}
	for s := range w.portMTU {
		if mtu := uint16(w.cfg.MTU.mtu[s].Load()); mtu != w.portMTU[s] {
			w.portMTU[s] = mtu
			w.paths.gen++
		}
	}
}

// lookAtPaths brings what the record knows of the paths to its two ends up to date.
func (w *Worker) lookAtPaths(r *flowtable.Record, now int64) {
	if r.Local.PathGen != w.paths.gen {
		w.findPaths(r, now)
	}
}

func (w *Worker) findPaths(r *flowtable.Record, now int64) {
	l, own := &r.Local, uint16(0)
	if now < r.Rare.CutUntil {
		own = l.PeerPath // and PathGen stays 0, so that the end of that time is noticed
	} else {
		r.Rare.CutUntil, l.PathGen = 0, w.paths.gen
	}
	l.HostPath = w.pathMSS(&pathKey{addr: r.Key.Inside, vlan: r.Key.VLAN, side: inside})
	l.PeerPath = w.pathMSS(&pathKey{addr: r.Key.Outside, vlan: r.Key.VLAN, side: outside})
	if own != 0 && (l.PeerPath == 0 || own < l.PeerPath) {
		l.PeerPath = own
	}
}

// pathMSS is what a path takes of a segment, in the terms of an MSS; 0 where nothing is known.
func (w *Worker) pathMSS(k *pathKey) uint16 {
	v4, mtu := isIPv4(&k.addr), w.portMTU[k.side]
	if known := w.paths.lookup(w.table, k); known != 0 && (mtu == 0 || known < mtu) {
		mtu = known
	}
	if mtu == 0 {
		return 0
	}
	return mssOf(mtu, v4)
}

// mssOf is the MSS that goes with an MTU.
func mssOf(mtu uint16, v4 bool) uint16 { return max(mtu, headers(v4)+minMSS) - headers(v4) }

// learnPath enters the MTU that an error told of, and lets the other workers know.
func (w *Worker) learnPath(k *pathKey, mtu uint32) {
	news := w.notePath(k, uint16(min(max(mtu, uint32(leastMTU(isIPv4(&k.addr)))), 65535)))
	if news != pathKnown {
		w.spreadPath(k, w.paths.lookup(w.table, k), w.others)
	}
}

func (w *Worker) notePath(k *pathKey, mtu uint16) pathNews {
	if port := w.portMTU[k.side]; port != 0 && mtu >= port {
		return pathKnown // nothing so long is sent
	}
	news := w.paths.learn(w.table, k, mtu, w.now)
	if news == pathEvicted {
		w.n[shm.PathsEvicted]++
	}
	if news != pathKnown {
		w.n[shm.PathsLearned]++
	}
	return news
}

// carried is the largest MSS that both ports carry; the largest there is where their MTUs are not known.
func (w *Worker) carried(v4 bool) uint16 {
	return min(w.carriedBy(inside, v4), w.carriedBy(outside, v4))
}

func (w *Worker) carriedBy(s flowtable.Side, v4 bool) uint16 {
	if w.portMTU[s] == 0 {
		return 65535
	}
	return mssOf(w.portMTU[s], v4)
}

// mssForHost is the MSS that a host is told of a far end that announced mss: with a frame's overhead its segments must pass the
// outside port and be no longer than what the far end takes, and the inside port must carry them.
func (w *Worker) mssForHost(mss uint16, v4 bool) uint16 {
	return min(clamped(min(mss, w.carriedBy(outside, v4))), w.carriedBy(inside, v4))
}

// toldMTU is the MTU that a host is told of a path that takes mtu, so that its segments still fit as frames. An IPv6 host need
// not believe in less than 1280 (RFC 8200 section 5), and is not told: its largest frames are cut.
func toldMTU(mtu uint32, v4 bool) uint32 {
	return max(max(mtu, uint32(leastMTU(v4)))-overhead, least(v4))
}

func least(v4 bool) uint32 {
	if v4 {
		return minMTU - overhead
	}
	return minMTU6
}

// tellHost tells a host that its segment p makes a longer frame than the path takes, if that is known, once in a while, so that it
// sends shorter ones. The segment itself goes on, its frame is cut. One that begins nowhere in the host's stream may be another's.
func (w *Worker) tellHost(p *packet.Packet, r *flowtable.Record, now int64) {
	v4, path := p.Ver == 4, r.Local.PeerPath
	if p.IPLen()+overhead <= int(path)+int(headers(v4)) {
		return
	}
	at, mtu := stream.Exact(r, inside), toldMTU(uint32(path)+uint32(headers(v4)), v4)
	if p.IPLen() <= int(mtu) || !p.DontFragment() || r.Rare.Told != 0 && now-r.Rare.Told < tellEvery ||
		p.Seq-at[1] > at[0]-at[1] {
		return
	}
	r.Rare.Told = now
	w.sayTooBig(inside, p, mtu)
}

// sayTooBig sends the sender of p, who is on side s, the ICMP error that it is too long.
func (w *Worker) sayTooBig(s flowtable.Side, p *packet.Packet, mtu uint32) {
	m := w.cache.Alloc()
	if m == nil {
		w.n[shm.DropNoBuffer]++
		return
	}
	if !packet.BuildTooBig(m, p, mtu, w.nextID()) {
		w.cache.Free(m)
		return
	}
	w.n[shm.TooBigSent]++
	w.tx[s].push(m)
}

// fitsPort reports whether the port that a packet from side s would leave by carries it. The sender of one that is too long is
// told where it asked not to have its packets cut (DF); so that a flood of them is not answered by another, at most one in
// sayEvery ns. No packet that is not TCP of an encrypted connection is cut: a bridge does not either.
func (w *Worker) fitsPort(s flowtable.Side, p *packet.Packet) bool {
	mtu := w.portMTU[s.Other()]
	if mtu == 0 || p.Ver == 0 || int(p.M.PktLen)-int(p.L3) <= int(mtu) {
		return true
	}
	w.n[shm.DropTooLong]++
	if w.now-w.said >= sayEvery && len(p.Data()) > 0 && p.DontFragment() {
		w.said = w.now
		w.sayTooBig(s, p, uint32(mtu))
	}
	w.cache.Free(p.M)
	return false
}

const sayEvery = int64(1e6)

// nextID returns a fresh IPv4 identification. The workers share the numbers out among them, so that each is used once in
// 65,536 packets of a pair of hosts (RFC 6864 section 4.3).
func (w *Worker) nextID() uint16 {
	w.ipID += uint16(w.others + 1)
	return w.ipID
}
