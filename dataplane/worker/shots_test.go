package worker

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

const (
	fin, syn, rst, psh, ack, ece, cwr = packet.FlagFIN, packet.FlagSYN, packet.FlagRST, packet.FlagPSH, packet.FlagACK, packet.FlagECE, packet.FlagCWR

	ms     = int64(1e6)
	second = int64(1e9)
)

var (
	enoOfA = []byte{eno.Kind, 3, byte(tcpcrypt.ECDHECurve25519)}
	enoOfB = []byte{eno.Kind, 4, 1, byte(tcpcrypt.ECDHECurve25519)}
)

// shooter is a rig whose output is looked at segment by segment.
func newShooter(t *testing.T) *rig {
	g := newRig(t, 16, 256, false)
	g.keep = true
	return g
}

// host and wire bring in a segment of flow 0.
func (g *rig) host(seg packet.Seg, payload ...byte) { g.feed(g.in, g.raw(g.tpl[inside], seg, payload)) }
func (g *rig) wire(seg packet.Seg, payload ...byte) {
	g.feed(g.out, g.raw(g.tpl[outside], seg, payload))
}

// later lets time pass.
func (g *rig) later(d int64) {
	for end := g.now + d; g.now < end; {
		g.now = min(g.now+100*ms, end)
		g.turn()
	}
	g.now += 2 * ms
	g.turn()
}

// shot reads a packet that was sent and describes it: flags, sequence and acknowledgement numbers relative to the ISNs, payload
// length, MSS and ENO.
func (g *rig) shot(to flowtable.Side, raw []byte) string {
	g.t.Helper()
	m := g.in.cache.Alloc()
	defer g.in.cache.Free(m)
	m.Append(raw)
	var p packet.Packet
	if p.Parse(m) != packet.TCP {
		return p.Class.String()
	}
	if !p.VerifyTCP() || !p.VerifyIPv4() {
		return "bad checksum"
	}
	var b strings.Builder
	for i, name := range []string{"F", "S", "R", "P", "A", "U", "E", "C"} {
		if p.Flags&(1<<i) != 0 {
			b.WriteString(name)
		}
	}
	from, of := uint32(hostISN), uint32(peerISN)
	if to == inside {
		from, of = of, from
	}
	if p.Flags&(rst|ack) == rst|ack && p.Seq == 0 {
		b.WriteString(" s=zero")
	} else {
		fmt.Fprintf(&b, " s%d", int32(p.Seq-from))
	}
	if p.Flags&ack != 0 {
		fmt.Fprintf(&b, " a%d", int32(p.Ack-of))
	}
	if p.PayloadLen > 0 {
		fmt.Fprintf(&b, " l%d", p.PayloadLen)
	}
	if p.Opt.Has(packet.OptMSS) {
		fmt.Fprintf(&b, " mss%d", p.Opt.MSS)
	}
	if p.Opt.Has(packet.OptENO) {
		fmt.Fprintf(&b, " eno%x", p.ENO()[2:])
	}
	return b.String()
}

// expect compares what was sent since the last call, inside and outside, with descriptions.
func (g *rig) expect(step string, toHost, toWire []string) {
	g.t.Helper()
	for s, c := range []struct{ raw, want any }{{g.toHost, toHost}, {g.toWire, toWire}} {
		var got []string
		for _, raw := range c.raw.([][]byte) {
			got = append(got, g.shot(flowtable.Side(s), raw))
		}
		if want := c.want.([]string); !slices.Equal(got, want) {
			g.t.Fatalf("%s: to %s went %q, not %q", step, []string{"the host", "the wire"}[s], got, want)
		}
	}
	g.toHost, g.toWire = nil, nil
}

// untouched demands that exactly these packets passed.
func (g *rig) untouched(step string, toHost, toWire [][]byte) {
	g.t.Helper()
	same := func(a, b [][]byte) bool { return slices.EqualFunc(a, b, slices.Equal[[]byte]) }
	if !same(g.toHost, toHost) || !same(g.toWire, toWire) {
		g.t.Fatalf("%s: the host got %x, not %x; the wire got %x, not %x", step, g.toHost, toHost, g.toWire, toWire)
	}
	g.toHost, g.toWire = nil, nil
}

func (g *rig) state(want flowtable.State) *flowtable.Record {
	g.t.Helper()
	k := &flowtable.Key{}
	k.Inside, k.Outside, k.InsidePort, k.OutsidePort = g.tpl[inside].Src, g.tpl[inside].Dst, g.tpl[inside].SrcPort, g.tpl[inside].DstPort
	for off := 14; off < int(g.tpl[inside].L2Len); off += 4 {
		k.VLAN = k.VLAN<<12 | uint32(g.tpl[inside].L2[off])&15<<8 | uint32(g.tpl[inside].L2[off+1])
	}
	r := g.w.table.Record(g.w.table.Lookup(k, g.w.table.Hash(k)))
	got := flowtable.Free
	if r != nil {
		got = r.State
	}
	if got != want {
		g.t.Fatalf("state is %v, not %v", got, want)
	}
	return r
}

// inClear demands that the connection is in the clear, open or opening.
func (g *rig) inClear() {
	g.t.Helper()
	if r := g.record(0); r != nil && r.State == flowtable.PlainSyn {
		return
	}
	g.state(flowtable.Plain)
}

func (g *rig) counted(n uint64, c shm.Counter) {
	g.t.Helper()
	if got := g.w.n[c]; got != n {
		g.t.Fatalf("counter %d is %d, not %d", c, got, n)
	}
}

// The segments of connection set-up.
func hostSYN() packet.Seg { return packet.Seg{Seq: hostISN, Win: 60000, Flags: syn, Other: synOptions} }
func peerSYN() packet.Seg {
	return packet.Seg{Seq: peerISN, Win: 60000, Flags: syn, Other: synOptions, ENO: enoOfA}
}
func hostSynAck() packet.Seg {
	return packet.Seg{Seq: hostISN, Ack: peerISN + 1, Win: 60000, Flags: syn | ack, Other: synOptions}
}
func peerSynAck() packet.Seg {
	return packet.Seg{Seq: peerISN, Ack: hostISN + 1, Win: 60000, Flags: syn | ack, Other: synOptions, ENO: enoOfB}
}
func fromHost(seq, ackn uint32, flags uint8) packet.Seg {
	return packet.Seg{Seq: hostISN + seq, Ack: peerISN + ackn, Win: 60000, Flags: flags}
}
func fromPeer(seq, ackn uint32, flags uint8) packet.Seg {
	return packet.Seg{Seq: peerISN + seq, Ack: hostISN + ackn, Win: 60000, Flags: flags}
}
func withENO(s packet.Seg) packet.Seg {
	s.ENO = enoACK
	return s
}

// sealed is a frame of the far end at wire position w.
func (g *rig) sealed(w uint64, d tcpcrypt.Direction, data string) []byte {
	g.t.Helper()
	key := g.master.Traffic(tcpcrypt.AES128GCM, d)
	frame, err := tcpcrypt.Seal(nil, &key, w, tcpcrypt.Frame{Plaintext: tcpcrypt.Plaintext{Data: []byte(data)}})
	if err != nil {
		g.t.Fatal(err)
	}
	return frame
}

// sealedFIN is the far end's last frame at wire position w, without data.
func (g *rig) sealedFIN(w uint64) []byte {
	g.t.Helper()
	key := g.master.Traffic(tcpcrypt.AES128GCM, tcpcrypt.BA)
	frame, err := tcpcrypt.Seal(nil, &key, w, tcpcrypt.Frame{Plaintext: tcpcrypt.Plaintext{FIN: true}})
	if err != nil {
		g.t.Fatal(err)
	}
	return frame
}

// The stages that set-up is taken to, and the steps that lead there.
type stage struct {
	name  string
	state flowtable.State
	reach func(g *rig)
}

func silent(g *rig, f func()) {
	g.mute = true
	f()
	g.mute = false
}

var activeStages = []stage{
	{"syn sent", flowtable.ActiveSyn, func(g *rig) { g.host(hostSYN()) }},
	{"syn-ack held", flowtable.ActiveAnswer, func(g *rig) {
		g.host(hostSYN())
		silent(g, func() { g.wire(peerSynAck()) })
	}},
	{"init1 sent", flowtable.ActiveInit, func(g *rig) {
		g.host(hostSYN())
		g.wire(peerSynAck())
	}},
	{"init2 at the control plane", flowtable.ActiveKeys, func(g *rig) {
		g.host(hostSYN())
		g.wire(peerSynAck())
		silent(g, func() { g.wire(fromPeer(1, 81, ack|psh), initMessage(tcpcrypt.KindInit2)...) })
	}},
	{"host has the syn-ack", flowtable.Encrypted, func(g *rig) {
		g.host(hostSYN())
		g.wire(peerSynAck())
		g.wire(fromPeer(1, 81, ack|psh), initMessage(tcpcrypt.KindInit2)...)
	}},
	{"active encrypted", flowtable.Encrypted, func(g *rig) {
		g.host(hostSYN())
		g.wire(peerSynAck())
		g.wire(fromPeer(1, 81, ack|psh), initMessage(tcpcrypt.KindInit2)...)
		g.host(fromHost(1, 1, ack))
	}},
}

var passiveStages = []stage{
	{"syn passed", flowtable.PassiveSyn, func(g *rig) { g.wire(peerSYN()) }},
	{"syn-ack passed", flowtable.PassiveAck, func(g *rig) {
		g.wire(peerSYN())
		g.host(hostSynAck())
	}},
	{"half of init1", flowtable.PassiveInit, func(g *rig) {
		g.wire(peerSYN())
		g.host(hostSynAck())
		g.wire(withENO(fromPeer(1, 1, ack)), initMessage(tcpcrypt.KindInit1)[:40]...)
	}},
	{"init1 at the control plane", flowtable.PassiveKeys, func(g *rig) {
		g.wire(peerSYN())
		g.host(hostSynAck())
		silent(g, func() { g.wire(withENO(fromPeer(1, 1, ack|psh)), initMessage(tcpcrypt.KindInit1)...) })
	}},
	{"passive encrypted", flowtable.Encrypted, func(g *rig) {
		g.wire(peerSYN())
		g.host(hostSynAck())
		g.wire(withENO(fromPeer(1, 1, ack|psh)), initMessage(tcpcrypt.KindInit1)...)
		g.wire(fromPeer(81, 81, ack))
	}},
}

// at makes a rig at a stage, whose outputs so far are forgotten.
func (st stage) at(t *testing.T) *rig {
	t.Helper()
	g := newShooter(t)
	st.reach(g)
	g.state(st.state)
	g.toHost, g.toWire, g.asks = nil, nil, nil
	return g
}

// inState returns the first stage that ends in a state.
func inState(s flowtable.State) stage {
	for _, st := range append(slices.Clone(activeStages), passiveStages...) {
		if st.state == s {
			return st
		}
	}
	panic("no such stage")
}
