package stream

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

func TestCorruptedBytesAreNeverDelivered(t *testing.T) {
	for seed := range uint64(3 * seeds()) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := newPair(t, seed, pattern(1, 30000), pattern(2, 30000), nil)
			p.start() // the Init messages are not protected: what happens to them is the handshake's business
			im := impairment{corrupt: 0.03}
			if seed%2 == 1 {
				im.split, im.loss = 0.2, 0.02
			}
			p.a.wire, p.b.wire = &im, &im
			ended := func(h *host) bool { return h.done() || h.reset }
			if !p.w.run(p.w.now+3600e9, func() bool { return ended(p.client) && ended(p.server) }) {
				t.Fatalf("stuck: client %s server %s\nA %s\nB %s", p.client.state(), p.server.state(), p.a.state(), p.b.state())
			}
			if !bytes.HasPrefix(p.client.out, p.server.in) || !bytes.HasPrefix(p.server.out, p.client.in) {
				t.Fatal("wrong bytes were delivered")
			}
			if p.server.gotFIN && len(p.server.in) != len(p.client.out) {
				t.Error("the end came early")
			}
		})
	}
}

func TestScarceMemoryOnlyCostsTime(t *testing.T) {
	for seed := range uint64(seeds()) {
		change := func(c *Config) {
			c.PoolLow, c.FlowFrames, c.FlowOutOfOrder = 5900, 20, 10
			c.Chunks = flowtable.FormatChunks(make([]flowtable.Chunk, 6))
		}
		p := newPair(t, seed, pattern(1, 60000), pattern(2, 60000), change)
		im := impairment{loss: 0.03, split: 0.1}
		p.a.wire, p.b.wire = &im, &im
		p.start()
		p.finish()
	}
}

// FuzzSegments lets arbitrary segments reach a keyed flow from both sides and at any time. Nothing may panic, and nothing may
// be lost when the flow is released.
func FuzzSegments(f *testing.F) {
	f.Add([]byte{0, 0, 10, 16, 0, 0, 1, 0, 30, 16, 0, 0, 2, 0, 3})
	f.Add(bytes.Repeat([]byte{1, 0, 25, 17, 0, 0}, 8))
	f.Add(bytes.Repeat([]byte{1, 5, 200, 24, 3, 1, 0, 1, 90, 49, 2, 2}, 6))
	frames, b := benchFrames(f, 0, 40), newBench(f, tcpcrypt.BA)
	f.Fuzz(func(t *testing.T, script []byte) { b.play(t, script, frames) })
}

func TestArbitrarySegmentsDoNoHarm(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	frames, b := benchFrames(t, 0, 40), newBench(t, tcpcrypt.BA)
	for range 500 * seeds() {
		script := make([]byte, 6*(1+rng.IntN(60)))
		for i := range script {
			script[i] = byte(rng.Uint32())
			switch i % 6 {
			case 0:
				script[i] &^= byte(rng.Uint32()) & 8 // often in order
			case 3:
				script[i] = ACK
				if rng.IntN(8) == 0 {
					script[i] = byte(rng.Uint32())
				}
			case 4:
				script[i] = byte(rng.IntN(4))
			}
		}
		b.play(t, script, frames)
	}
	if b.core.n[shm.OpenedFrames] == 0 || b.core.n[shm.SealedFrames] == 0 {
		t.Error("nothing was sealed or opened")
	}
}

// play performs a script on a new connection.
func (b *bench) play(t *testing.T, script, frames []byte) {
	b.restart(t, tcpcrypt.BA)
	for len(script) >= 6 {
		op := script[:6]
		script = script[6:]
		b.step(op, frames)
	}
	b.work()
	b.core.Timeout(1, &b.rec, b.now, b.out)
	b.work()
	b.core.Release(1, &b.rec)
	b.core.begin(b.out)
	if used := b.core.keyed.share.used + b.core.setup.share.used + b.core.queued.used + b.core.large.share.used; used != 0 {
		t.Fatalf("%d places of reassembly are lost", used)
	}
	if n := 2000 - b.cache.Avail(); n != 0 || len(b.core.keys.free) != 16 || len(b.core.large.free) != 16 || b.core.chunks.Free() != 399 || b.core.freeNodes() != 2000+4 {
		t.Fatalf("%d buffers are lost, %d keys, %d large buffers and %d chunks free", n, len(b.core.keys.free), len(b.core.large.free), b.core.chunks.Free())
	}
}

// freeNodes counts pieces and gaps that are not in use.
func (c *Core) freeNodes() int {
	n := 0
	for i := c.freeOutOfOrder; i != 0; i = c.outOfOrder[i].next {
		n++
	}
	for i := c.freeGap; i != 0; i = c.gaps[i].next {
		n++
	}
	return n
}

// step does what six bytes say: side, sequence offset, length, flags, acknowledgement offset, window.
func (b *bench) step(op, frames []byte) {
	const spread = 30
	if op[0]&2 != 0 {
		b.now += int64(op[2]) * 50e6
		b.work()
		b.core.Timeout(1, &b.rec, b.now, b.out)
		return
	}
	m := b.cache.Alloc()
	n := int(op[2]) * (1 + int(op[0]>>6))
	m.SetBounds(mbuf.Headroom, hdrLen+n)
	seg := Segment{
		M: m, Off: mbuf.Headroom + hdrLen, Len: n, Flags: op[3], HasTS: op[0]&4 != 0, Win: uint16(op[5]) << 4, Urg: uint16(op[5]),
	}
	ts := uint32(op[1] & 3)
	if op[1] > 250 {
		ts = uint32(op[1]) << 29 // far behind or ahead
	}
	e, in := &b.rec.Egress, &b.rec.Ingress
	d := uint32(int8(op[1])) * spread * uint32(op[0]>>3&1)
	a := uint32(int8(op[4]))
	payload := m.Buf()[seg.Off : seg.Off+n]
	if op[0]&1 == 0 {
		seg.Seq, seg.Ack, seg.TSVal = 1+uint32(e.PNext)+d, 1+uint32(in.HostAck)+a, b.rec.Host.TSVal+ts
		seg.NSACK = op[0] >> 4 & 3
		for i := range seg.NSACK {
			seg.SACK[i] = [2]uint32{seg.Ack + uint32(i)*9, seg.Ack + uint32(op[5])}
		}
		b.core.EgressSegment(1, &b.rec, &seg, b.now, b.out)
	} else {
		seg.Seq, seg.Ack, seg.TSVal = 1+uint32(in.WNext)+d, 1+uint32(e.WUna)+a, b.rec.Peer.TSVal+ts
		if at := int(in.WNext) + int(int32(d)); at >= 0 && at < len(frames) {
			copy(payload, frames[at:])
		}
		if op[0]&16 != 0 && n > 0 {
			payload[int(op[5])%n] ^= 4 // forged, or damaged
		}
		b.core.IngressSegment(1, &b.rec, &seg, b.now, b.out)
	}
	if op[0]&32 == 0 || !b.out.Room() {
		b.work()
	}
}
