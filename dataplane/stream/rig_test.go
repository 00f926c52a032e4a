package stream

import (
	"bytes"
	"container/heap"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// rig is one gateway of role B whose host and far end are played by the test, packet by packet. The handshake is over: the
// wire streams begin with Init messages of initLen bytes.
type rig struct {
	t      *testing.T
	w      *world
	g      *gateway
	seal   *sealer // the far end's frames
	toHost []*pkt
	toWire []*pkt
	batch  bool // operations wait for flush
}

const initLen = 80

// recorder keeps what is sent to it.
type recorder struct{ to *[]*pkt }

func (r recorder) receive(_ *world, _ int, p *pkt) { *r.to = append(*r.to, p) }
func (recorder) tick(*world)                       {}
func (recorder) deadline() int64                   { return 0 }

const (
	rigHostISN = 1000
	rigPeerISN = 0xfffffff0 // positions cross the wrap at once
	hostSeq    = rigHostISN + 1
)

// wireSeq is a variable because positions wrap: constant sums would not compile.
var wireSeq uint32 = rigPeerISN + 1

func newRig(t *testing.T, change func(*Config), changeLink func(*link)) *rig {
	r := &rig{t: t, w: newWorld(t, 1)}
	r.g = newGateway(t, "B", change)
	l := link{
		flags: flowtable.FlagSACK, clientISN: rigPeerISN, serverISN: rigHostISN, mss: 1460, clientWin: 65535, serverWin: 65535,
		aead: tcpcrypt.AES128GCM,
	}
	if changeLink != nil {
		changeLink(&l)
	}
	r.seal = &sealer{t: t, master: tcpcrypt.MasterKey{1, 2, 3}, aead: l.aead, out: initMessage(tcpcrypt.KindInit1, initLen)}
	r.g.inside, r.g.outside = recorder{&r.toHost}, recorder{&r.toWire}
	r.g.init = initMessage(tcpcrypt.KindInit2, initLen)
	r.g.start(r.w, &l, false)
	r.wire(&pkt{seq: wireSeq, ack: hostSeq, win: uint16(l.clientWin), flags: ACK, data: r.seal.out})
	r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + initLen, win: uint16(l.clientWin), flags: ACK})
	if r.g.rec.Ingress.Flags&flowtable.IngressKeys == 0 || r.g.rec.Egress.WUna != initLen {
		t.Fatal("the handshake did not end")
	}
	r.take()
	return r
}

// feed hands a packet to the gateway.
func (r *rig) feed(from int, p *pkt) {
	m := r.g.cache.Alloc()
	m.Append(hdrPattern)
	m.Append(p.data)
	seg := Segment{M: m, Off: mbuf.Headroom + hdrLen, Len: len(p.data), Seq: p.seq, Ack: p.ack, Win: p.win, Urg: p.urg, Flags: p.flags}
	seg.HasTS, seg.TSVal, seg.TSEcr = p.ts != 0, p.ts, p.ecr
	for _, b := range p.sack {
		seg.SACK[seg.NSACK] = b
		seg.NSACK++
	}
	if from == fromHost {
		r.g.core.EgressSegment(testFlow, &r.g.rec, &seg, r.w.now, r.g.out)
	} else {
		r.g.core.IngressSegment(testFlow, &r.g.rec, &seg, r.w.now, r.g.out)
	}
	if !r.batch {
		r.flush()
	}
}

func (r *rig) host(p *pkt) { r.feed(fromHost, p) }
func (r *rig) wire(p *pkt) { r.feed(fromWire, p) }

// flush works the operations and collects what is sent.
func (r *rig) flush() {
	r.g.flush(r.w)
	r.g.flush(r.w)
	for len(r.w.queue) > 0 {
		a := heap.Pop(&r.w.queue).(arrival)
		a.to.receive(r.w, a.from, a.p)
	}
}

// take returns what was sent to host and wire since the last call, in order.
func (r *rig) take() (toHost, toWire []*pkt) {
	toHost, toWire = r.toHost, r.toWire
	r.toHost, r.toWire = nil, nil
	return toHost, toWire
}

// one is take where exactly one packet must have been sent, in the given direction.
func (r *rig) one(d Direction) *pkt {
	r.t.Helper()
	h, w := r.take()
	if d == ToWire {
		h, w = w, h
	}
	if len(h) != 1 || len(w) != 0 {
		r.t.Fatalf("sent %v and, the other way, %v; want one packet", h, w)
	}
	return h[0]
}

// silence fails unless nothing was sent.
func (r *rig) silence() {
	r.t.Helper()
	if h, w := r.take(); len(h)+len(w) > 0 {
		r.t.Fatalf("sent %v to the host and %v to the wire, want nothing", h, w)
	}
}

// say sends plaintext from the host at position p, with all of the wire acknowledged as far as it was delivered.
func (r *rig) say(p int, flags uint8, data []byte) {
	r.host(&pkt{seq: hostSeq + uint32(p), ack: wireSeq + uint32(r.g.rec.Ingress.PNext), win: 65535, flags: flags | ACK, data: data})
}

// far sends wire bytes [from, to) of the far end's stream.
func (r *rig) far(from, to int, flags uint8) {
	r.wire(&pkt{seq: wireSeq + uint32(from), ack: hostSeq + uint32(r.g.rec.Egress.WNext), win: 65535, flags: flags | ACK, data: bytes.Clone(r.seal.out[from:to])})
}

// farFrame seals a frame and returns where it lies in the far end's stream.
func (r *rig) farFrame(f tcpcrypt.Frame) (from, to int) {
	from = len(r.seal.out)
	r.seal.frame(f)
	return from, len(r.seal.out)
}

func data(n int) tcpcrypt.Frame {
	return tcpcrypt.Frame{Plaintext: tcpcrypt.Plaintext{Data: pattern(3, n)}}
}

func last(n int) tcpcrypt.Frame {
	f := data(n)
	f.FIN = true
	return f
}

// hostAcks acknowledges everything delivered to the host.
func (r *rig) hostAcks(p int) {
	r.host(&pkt{seq: hostSeq + uint32(r.g.rec.Egress.PNext), ack: wireSeq + uint32(p), win: 65535, flags: ACK})
}

// count fails unless a counter has the value.
func (r *rig) count(n shm.Counter, want uint64) {
	r.t.Helper()
	if got := r.g.core.n[n]; got != want {
		r.t.Errorf("%v is %d, want %d: %s", n, got, want, r.g.state())
	}
}

// aborted fails unless the connection was aborted for the reason, with a RST to each side.
func (r *rig) aborted(reason shm.Counter) (toHost, toWire *pkt) {
	r.t.Helper()
	h, w := r.take()
	for _, p := range h {
		if len(p.data) > 0 {
			r.t.Errorf("%d bytes went to the host", len(p.data))
		}
		if p.flags&RST != 0 {
			toHost = p
		}
	}
	for _, p := range w {
		if p.flags&RST != 0 {
			toWire = p
		}
	}
	ev := r.g.events[len(r.g.events)-1]
	if ev.Kind != EventAbort || ev.Reason != reason || toHost == nil || toWire == nil {
		r.t.Fatalf("event %v (%v), RST to host %v, to wire %v; want abort for %v: %s", ev.Kind, ev.Reason, toHost, toWire, reason, r.g.state())
	}
	return toHost, toWire
}

// opened returns the frames in a wire payload at a wire position.
func (r *rig) open(at int, b []byte) []tcpcrypt.Frame {
	r.t.Helper()
	master := tcpcrypt.MasterKey{1, 2, 3}
	for range r.g.rec.Rare.SealGen {
		master = master.Next()
	}
	key := master.Traffic(r.seal.aead, tcpcrypt.BA)
	var frames []tcpcrypt.Frame
	for len(b) > 0 {
		f, n, err := tcpcrypt.Open(&key, uint64(at), b)
		if err != nil {
			r.t.Fatal(err)
		}
		frames, b, at = append(frames, f), b[n:], at+n
	}
	return frames
}

// pass lets time go by until the flow's next deadline and lets it happen.
func (r *rig) pass() {
	r.t.Helper()
	d := r.g.core.Deadline(&r.g.rec)
	if d == 0 {
		r.t.Fatal("no timer runs")
	}
	r.w.now = max(r.w.now, d)
	r.g.core.Timeout(testFlow, &r.g.rec, r.w.now, r.g.out)
	r.flush()
}
