package stream

import (
	"bytes"
	"encoding/binary"
	"testing"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// assemblers is many keyed flows of one Core.
type assemblers struct {
	t       *testing.T
	core    *Core
	cache   *mbuf.Cache
	batcher cryptobatch.Batcher
	out     *Output
	recs    []*flowtable.Record
	now     int64
	events  []Event
}

func newAssemblers(t *testing.T, change func(*Config)) *assemblers {
	c := &assemblers{t: t, out: NewOutput(32), now: 1e9}
	c.core, c.cache, _, c.batcher = testCore(t, 6000, func(cfg *Config) {
		cfg.Keys, cfg.OutOfOrder, cfg.Reassemblies, cfg.Setups, cfg.LargeBuffers = 2000, 256, 64, 64, 16
		cfg.Chunks = flowtable.FormatChunks(make([]flowtable.Chunk, 2000))
		if change != nil {
			change(cfg)
		}
	})
	c.core.peerKey = flowtable.FoldKey{1, 2} // under which no two networks of these tests fall together
	return c
}

// join adds a flow whose far end is in the given /24, with keys or without.
func (c *assemblers) join(net byte, keyed bool) flowtable.Index {
	r := &flowtable.Record{}
	c.recs = append(c.recs, r)
	idx := flowtable.Index(len(c.recs))
	copy(r.Key.Outside[10:], []byte{255, 255, 10, 1, net, byte(idx)})
	r.Role = flowtable.RoleB
	r.Host = flowtable.Endpoint{MSS: 1460, Win: 65535}
	r.Peer = flowtable.Endpoint{MSS: 1460, Win: 65535}
	c.core.Start(idx, r, c.now)
	if keyed {
		r.Ingress.Flags |= flowtable.IngressInit
		keys := Keys{AEAD: tcpcrypt.AES128GCM, Master: tcpcrypt.MasterKey{1}, Egress: tcpcrypt.BA}
		if err := c.core.InstallKeys(idx, r, &keys, c.now, c.out); err != nil {
			c.t.Fatal(err)
		}
	}
	return idx
}

// wire sends bytes of a far end's stream and returns what went to its host.
func (c *assemblers) wire(idx flowtable.Index, at int, b []byte) (delivered []byte) {
	c.t.Helper()
	m := c.cache.Alloc()
	if m == nil {
		c.t.Fatal("no buffers")
	}
	m.Append(hdrPattern)
	m.Append(b)
	seg := Segment{M: m, Off: m.DataOff() + hdrLen, Len: len(b), Seq: 1 + uint32(at), Ack: 1, Win: 65535, Flags: ACK}
	c.core.IngressSegment(idx, c.recs[idx-1], &seg, c.now, c.out)
	return c.flush()
}

func (c *assemblers) flush() (delivered []byte) {
	for c.out.Pending() {
		c.batcher.Seal(c.out.Seals)
		c.core.Sealed(c.out, c.now)
		c.batcher.Open(c.out.Opens)
		c.core.Opened(c.out, c.now)
	}
	for i := range c.out.Emits {
		e := &c.out.Emits[i]
		if e.Dir == ToHost && e.Kind != EmitNone {
			delivered = append(delivered, e.M.Buf()[e.Off:e.Off+e.Len]...)
		}
		c.cache.Free(e.M)
	}
	c.events = append(c.events, c.out.Events...)
	c.out.Reset()
	return delivered
}

// frame seals one frame of a far end, at the beginning of its stream.
func (c *assemblers) frame(n int) []byte {
	s := sealer{t: c.t, master: tcpcrypt.MasterKey{1}, aead: tcpcrypt.AES128GCM, d: tcpcrypt.AB}
	s.frame(data(n))
	return s.out
}

// send sends a frame in segments and reports whether all of it was delivered.
func (c *assemblers) send(idx flowtable.Index, b []byte, plain int) bool {
	var got []byte
	for at := 0; at < len(b); at += 1400 {
		got = append(got, c.wire(idx, at, b[at:min(at+1400, len(b))])...)
	}
	return bytes.Equal(got, pattern(3, plain))
}

func (c *assemblers) pass(d int64) {
	c.now += d
	for i, r := range c.recs {
		if t := c.core.Deadline(r); t != 0 && t <= c.now {
			c.core.Timeout(flowtable.Index(i+1), r, c.now, c.out)
			c.flush()
		}
	}
}

func (c *assemblers) count(n shm.Counter) uint64 { return c.core.n[n] }

func TestConnectionsThatFallSilentInAFrameDoNotStopNewOnes(t *testing.T) {
	c := newAssemblers(t, nil)
	big := c.frame(5000)
	for i := range 300 { // each from a network of its own
		idx := c.join(byte(i), true)
		c.wire(idx, 0, big[:1])
		c.now += 50e6
	}
	if !c.send(c.join(77, true), c.frame(3000), 3000) {
		t.Error("a frame in two segments was not delivered")
	}
	idx := c.join(78, false)
	msg := initMessage(tcpcrypt.KindInit1, 80)
	c.wire(idx, 0, msg[:40])
	c.wire(idx, 40, msg[40:])
	if ev := c.events[len(c.events)-1]; ev.Kind != EventInit || ev.Flow != idx {
		t.Errorf("the Init message did not arrive: %v", ev.Kind)
	}
	if c.count(shm.ReassemblyReclaimed) == 0 || c.count(shm.AbortReassembly) != 0 {
		t.Errorf("%d reclaimed, %d aborted", c.count(shm.ReassemblyReclaimed), c.count(shm.AbortReassembly))
	}
}

func TestOneNetworkCannotHoldAllPlacesForFrames(t *testing.T) {
	c := newAssemblers(t, nil)
	big := c.frame(5000)
	for range 300 {
		c.wire(c.join(1, true), 0, big[:1])
	}
	for i := range 10 {
		if !c.send(c.join(byte(2+i), true), c.frame(3000), 3000) {
			t.Errorf("network %d got no place", 2+i)
		}
	}
	if c.count(shm.DropIngressLimit) == 0 {
		t.Error("nothing was refused")
	}
}

func TestConnectionsInSetUpThatFallSilentDoNotStopNewOnes(t *testing.T) {
	c := newAssemblers(t, nil)
	msg := initMessage(tcpcrypt.KindInit1, 80)
	for i := range 300 {
		c.wire(c.join(byte(i), false), 0, msg[:1])
		c.now += 50e6
	}
	idx := c.join(77, false)
	c.wire(idx, 0, msg[:40])
	c.wire(idx, 40, msg[40:])
	if ev := c.events[len(c.events)-1]; ev.Kind != EventInit || ev.Flow != idx {
		t.Errorf("the Init message did not arrive: %v", ev.Kind)
	}
	if !c.send(c.join(78, true), c.frame(3000), 3000) {
		t.Error("a frame in two segments was not delivered")
	}
}

func TestAnnouncedFramesCostNoLargeBuffers(t *testing.T) {
	c := newAssemblers(t, nil)
	big := c.frame(60000)
	for i := range 40 {
		c.wire(c.join(byte(i), true), 0, big[:1400])
	}
	if n := c.core.large.share.used; n != 0 {
		t.Errorf("%d large buffers in use", n)
	}
}

func TestStalledLargeFramesDoNotStopOthers(t *testing.T) {
	for _, nets := range []int{1, 100} {
		c := newAssemblers(t, func(cfg *Config) { cfg.Reassemblies = 500 })
		big := c.frame(60000)
		for i := range 70 {
			idx := c.join(byte(i%nets), true)
			c.wire(idx, 0, big[:1400])
			c.wire(idx, 1400, big[1400:2800])
			c.now += 100e6
		}
		for i := range 4 {
			if !c.send(c.join(byte(200+i), true), big, 60000) {
				t.Errorf("%d networks: large frame %d was not delivered", nets, i)
			}
		}
		if c.count(shm.LargeBuffersRefused)+c.count(shm.ReassemblyReclaimed) == 0 {
			t.Errorf("%d networks: nothing was refused and nothing reclaimed", nets)
		}
	}
}

func TestUnfinishedFramesEndAfterTheirTime(t *testing.T) {
	c := newAssemblers(t, nil)
	big := c.frame(5000)
	once, twice := c.join(1, true), c.join(2, true)
	c.wire(once, 0, big[:1000])
	c.wire(twice, 0, big[:1000])
	c.wire(twice, 1000, big[1000:2000])
	c.pass(reassemblyLimit)
	if c.recs[once-1].Local.Reassembly != 0 || c.count(shm.ReassemblyExpired) != 1 {
		t.Errorf("what was not acknowledged is still there after %d s", int64(reassemblyLimit/1e9))
	}
	if !c.send(once, big, 5000) {
		t.Error("the frame did not come again")
	}
	if c.recs[twice-1].Egress.Flags&flowtable.EgressDead != 0 {
		t.Error("what was acknowledged is given up too early")
	}
	c.pass(abandonLimit)
	if c.count(shm.AbortReassembly) != 1 || c.recs[twice-1].Egress.Flags&flowtable.EgressDead == 0 {
		t.Errorf("%d aborted", c.count(shm.AbortReassembly))
	}
}

func TestSegmentsBehindHolesAreSharedAndEndAfterTheirTime(t *testing.T) {
	c := newAssemblers(t, func(cfg *Config) { cfg.FlowOutOfOrder = 100 })
	junk := make([]byte, 100)
	for range 4 { // of one network
		idx := c.join(1, true)
		for n := range 100 {
			c.wire(idx, 1000+200*n, junk)
		}
	}
	if used := c.core.queued.used; used > 3*256/4+4*minOutOfOrder {
		t.Errorf("one network holds %d of 256 places", used)
	}
	f := c.frame(3000)
	idx := c.join(2, true)
	c.wire(idx, 1400, f[1400:2800])
	c.wire(idx, 2800, f[2800:])
	if got := c.wire(idx, 0, f[:1400]); !bytes.Equal(got, pattern(3, 3000)) {
		t.Errorf("%d bytes delivered of another network's frame", len(got))
	}
	c.pass(reassemblyLimit)
	if used := c.core.queued.used; used != 0 {
		t.Errorf("%d segments wait for ever", used)
	}
	if c.count(shm.OutOfOrderRefused) == 0 {
		t.Error("nothing was refused")
	}
}

func TestFarEndsAreAllowedLittleWhileRoomIsScarce(t *testing.T) {
	r := newRig(t, func(cfg *Config) { cfg.PoolLow = 6001 }, nil)
	a, b := r.farFrame(data(100))
	before := r.g.rec.Ingress.WEdge
	r.far(a, b, 0)
	r.host(&pkt{seq: hostSeq, ack: wireSeq + 100, win: 65535, flags: ACK})
	if edge := r.g.rec.Ingress.WEdge; edge != before {
		t.Errorf("the edge moved from %d to %d", before, edge)
	}
}

// garbage begins like a frame of 60,000 bytes.
func garbage(n int) []byte {
	b := pattern(9, n)
	b[0] = 0
	binary.BigEndian.PutUint16(b[1:], 60000)
	return b
}

func TestForgedBytesInTheWindowAreNotAcknowledgedNorInTheWay(t *testing.T) {
	for _, c := range []struct {
		name  string
		at, n int // of the forged segment, from the beginning of the first of three frames of 520 bytes
		early bool
	}{
		{"at a frame's beginning", 520, 600, false},
		{"across two frames", 300, 700, false},
		{"in the middle of a frame", 600, 100, false},
		{"across two frames, which come out of order", 300, 700, true},
		{"at a frame's beginning, which comes out of order", 520, 520, true},
		{"where the next bytes are expected", 0, 100, false},
		{"where the next bytes are expected, and more", 0, 1400, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			var at []int
			for range 3 {
				a, _ := r.farFrame(data(500))
				at = append(at, a)
			}
			at = append(at, len(r.seal.out))
			r.wire(&pkt{seq: wireSeq + uint32(at[0]+c.at), ack: hostSeq + initLen, win: 65535, flags: ACK, data: garbage(c.n)})
			order := []int{0, 1, 2}
			if c.early {
				order = []int{1, 2, 0}
			}
			for _, i := range order {
				r.far(at[i], at[i+1], 0)
			}
			for r.g.rec.Ingress.Flags&flowtable.IngressStalled != 0 {
				r.pass()
			}
			r.acknowledgedAtMost(at[0])
			for range 3 { // its sender has no acknowledgement, and sends what is missing again
				for i := range 3 {
					if r.g.rec.Ingress.WOpen < uint64(at[i+1]) {
						r.far(at[i], at[i+1], 0)
					}
				}
				for r.g.rec.Ingress.Flags&flowtable.IngressStalled != 0 {
					r.pass()
				}
			}
			var text []byte
			h, _ := r.take()
			for _, p := range h {
				text = append(text, p.data...)
			}
			if want := bytes.Repeat(pattern(3, 500), 3); !bytes.Equal(text, want) {
				t.Errorf("%d bytes delivered: %s", len(text), r.g.state())
			}
		})
	}
}

// acknowledgedAtMost fails where the wire was told more.
func (r *rig) acknowledgedAtMost(w int) {
	r.t.Helper()
	for _, p := range r.toWire {
		if got := int(p.ack - wireSeq); got > w {
			r.t.Errorf("acknowledged %d, of which only %d is authentic and with the host", got, w)
		}
	}
}

func TestForgedEndIsNoEnd(t *testing.T) {
	r := newRig(t, nil, nil)
	a, b := r.farFrame(data(100))
	r.wire(&pkt{seq: wireSeq + uint32(b), ack: hostSeq + initLen, win: 65535, flags: ACK | FIN})
	r.far(a, b, 0)
	h, _ := r.take()
	if len(h) != 1 || len(h[0].data) != 100 || r.g.rec.Egress.Flags&flowtable.EgressDead != 0 {
		t.Errorf("delivered %v: %s", h, r.g.state())
	}
	a, b = r.farFrame(last(10))
	r.far(a, b, FIN)
	if h, _ := r.take(); len(h) != 1 || h[0].flags&FIN == 0 {
		t.Errorf("the end is %v", h)
	}
}

func TestHostsThatAcknowledgeNothingLeaveRoomForOthers(t *testing.T) {
	c := newAssemblers(t, func(cfg *Config) {
		cfg.Chunks, cfg.Deliveries = flowtable.FormatChunks(make([]flowtable.Chunk, 100)), 64
	})
	small := sealer{t: t, master: tcpcrypt.MasterKey{1}, aead: tcpcrypt.AES128GCM, d: tcpcrypt.AB}
	for range 2000 {
		small.frame(data(5))
	}
	mute := c.join(1, true)
	for at := 0; at < len(small.out); at += 1000 {
		c.wire(mute, at, small.out[at:min(at+1000, len(small.out))])
	}
	if free := c.core.chunks.Free(); free < 100/8-1 {
		t.Errorf("one host leaves %d of 100 ledger chunks", free)
	}
	for range 80 { // frames over two segments, for hosts behind which nobody acknowledges
		c.send(c.join(2, true), c.frame(2000), 2000)
	}
	for i := range 4 {
		if !c.send(c.join(byte(10+i), true), c.frame(2000), 2000) {
			t.Errorf("network %d got no delivery", 10+i)
		}
	}
	if c.count(shm.DropIngressLimit) == 0 {
		t.Error("nothing was refused")
	}
}
