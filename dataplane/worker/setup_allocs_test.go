package worker

import (
	"fmt"
	"runtime"
	"testing"

	"linecrypt/bench/testenv"
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// mallocs returns how many objects f takes from the heap.
func mallocs(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}

// The runtime itself may take a few objects at any time.
const runtimeMallocs = 4

func TestFloodOfSYNsAllocatesNothing(t *testing.T) {
	testenv.CountsAllocs(t)
	const syns = 4096
	option := func(subs ...byte) []byte { return append([]byte{eno.Kind, byte(2 + len(subs))}, subs...) }
	for name, c := range map[string]struct {
		s      flowtable.Side
		policy flowtable.Policy
		eno    func(n int) []byte
	}{
		"of hosts":                     {s: inside},
		"of hosts, required":           {s: inside, policy: flowtable.Require},
		"of strangers":                 {s: outside},
		"of strangers, required":       {s: outside, policy: flowtable.Require},
		"with ENO":                     {s: outside, eno: func(int) []byte { return option(byte(tcpcrypt.ECDHECurve25519)) }},
		"with ENO, each another":       {s: outside, eno: func(n int) []byte { return option(0x30+byte(n%13), 0x40+byte(n%31), byte(tcpcrypt.ECDHECurve25519)) }},
		"with ENO of no common TEP":    {s: outside, eno: func(n int) []byte { return option(0x40+byte(n%31), 0x30+byte(n%13)) }},
		"with ENO that is ill-formed":  {s: outside, eno: func(n int) []byte { return option(0x9f, 0xa1, byte(n)) }},
		"with ENO, no answer, require": {s: outside, policy: flowtable.Require, eno: func(n int) []byte { return option(0x40 + byte(n%31)) }},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, 64, 4096, false)
			g.ctl.policy = c.policy
			var frames [][]byte
			for n := range syns {
				seg := packet.Seg{Seq: uint32(n) * 7919, Win: 65535, Flags: packet.FlagSYN, Other: synOptions}
				if c.eno != nil {
					seg.ENO = c.eno(n)
				}
				frames = append(frames, g.raw(flowTemplate(n, c.s == inside), seg, nil))
			}
			q := [2]*testQueue{g.in, g.out}[c.s]
			next := 0
			q.fill = func(m *mbuf.Mbuf) bool { next++; return m.Append(frames[next-1]) }
			flood := func(n int) {
				for q.limit = n; q.limit > 0; {
					g.now += 1e6
					g.w.Poll(g.now)
				}
			}
			flood(syns / 2)
			if n := mallocs(func() { flood(syns / 2) }); n > runtimeMallocs {
				t.Errorf("%d allocations for %d SYNs", n, syns/2)
			}
		})
	}
}

func TestSetUpAllocatesNothing(t *testing.T) {
	testenv.CountsAllocs(t)
	for name, open := range map[string]func(g *rig, n int) *flowtable.Record{
		"passive": (*rig).openPassive, "active": (*rig).openActive, "plain": (*rig).openPlain,
	} {
		t.Run(name, func(t *testing.T) {
			const flows = 200
			g := newRig(t, 2*flows, 4096, false)
			for n := range flows {
				open(g, n)
			}
			g.polled = new(uint64)
			for n := range flows {
				open(g, flows+n)
			}
			if n := *g.polled; n > runtimeMallocs {
				t.Errorf("the worker makes %.2f allocations a connection", float64(n)/flows)
			}
		})
	}
}

// openActive takes flow n through connection set-up, opened by the host.
func (g *rig) openActive(n int) *flowtable.Record {
	g.t.Helper()
	in, out := flowTemplate(n, true), flowTemplate(n, false)
	answer := []byte{eno.Kind, 4, 1, byte(tcpcrypt.ECDHECurve25519)}
	g.feed(g.in, g.raw(in, packet.Seg{Seq: hostISN, Win: 65535, Flags: packet.FlagSYN, Other: synOptions}, nil))
	g.feed(g.out, g.raw(out, packet.Seg{Seq: peerISN, Ack: hostISN + 1, Win: 65535, Flags: packet.FlagSYN | packet.FlagACK, Other: synOptions, ENO: answer}, nil))
	g.feed(g.out, g.raw(out, packet.Seg{Seq: peerISN + 1, Ack: hostISN + 81, Win: 65535, Flags: packet.FlagACK | packet.FlagPSH}, initMessage(tcpcrypt.KindInit2)))
	g.feed(g.in, g.raw(in, packet.Seg{Seq: hostISN + 1, Ack: peerISN + 1, Win: 65535, Flags: packet.FlagACK}, nil))
	r := g.record(n)
	if r == nil || r.State != flowtable.Encrypted {
		g.t.Fatalf("flow %d did not become encrypted: %s", n, fmt.Sprint(r))
	}
	return r
}
