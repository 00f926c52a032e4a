package worker

import (
	"bytes"
	"fmt"
	"testing"

	"linecrypt/bench/testenv"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// refusals are errors by which a path may refuse a SYN because of its option.
var refusals = []struct {
	v6         bool
	kind, code uint8
}{
	{false, 3, 0}, {false, 3, 1}, {false, 3, 3}, {false, 3, 9}, {false, 3, 10}, {false, 3, 13}, {false, 12, 0},
	{true, 1, 0}, {true, 1, 1}, {true, 1, 3}, {true, 1, 4}, {true, 4, 0}, {true, 4, 2},
}

func TestSynRefusedByAnICMPErrorGoesAgainWithoutENO(t *testing.T) {
	for _, c := range refusals {
		t.Run(fmt.Sprintf("v6=%v/type=%d/code=%d", c.v6, c.kind, c.code), func(t *testing.T) {
			g := newShooter(t)
			if c.v6 {
				g.ipv6()
			}
			g.host(hostSYN())
			about := g.toWire[0]
			g.expect("SYN", nil, list(withOption))
			g.feed(g.out, g.icmpError(outside, c.kind, c.code, 0, about))
			again := g.toWire
			g.expect("error about it", nil, list(withoutOption))
			g.state(flowtable.PlainSyn)
			for _, n := range []shm.Counter{shm.PlainSynReset, shm.DropSynReset, shm.HandshakesFallback} {
				g.counted(1, n)
			}
			// What answers the SYN without ENO is the host's, an error too.
			second := g.icmpError(outside, c.kind, c.code, 0, again[0])
			g.feed(g.out, second)
			g.untouched("error about the SYN without ENO", [][]byte{second}, nil)
			g.counted(1, shm.PlainSynReset)
			answer := g.raw(g.tpl[outside], with(peerSynAck(), synOptions, nil), nil)
			g.feed(g.out, answer)
			g.untouched("SYN-ACK", [][]byte{answer}, nil)
			g.plainData()
		})
	}
}

func TestTheLeastThatAnIPv4ErrorQuotesIsEnough(t *testing.T) {
	g := newShooter(t)
	g.host(hostSYN())
	about := g.toWire[0][:14+20+8] // RFC 792: the header and 64 bits
	g.toWire = nil
	g.feed(g.out, g.icmpError(outside, 3, 3, 0, about))
	g.expect("error", nil, list(withoutOption))
}

// TestErrorsThatRefuseNoSynWithENOPass holds for those that an attacker can make who does not see the SYN, too.
func TestErrorsThatRefuseNoSynWithENOPass(t *testing.T) {
	about := func(g *rig) []byte { return g.toWire[0] }
	another := func(seq uint32) func(g *rig) []byte {
		return func(g *rig) []byte { return g.raw(g.tpl[inside], fromHost(seq, 0, syn), nil) }
	}
	for name, c := range map[string]struct {
		policy     flowtable.Policy
		kind, code uint8
		about      func(g *rig) []byte
		damage     bool
	}{
		"fragmentation needed":        {kind: 3, code: 4, about: about},
		"time exceeded":               {kind: 11, about: about},
		"redirect":                    {kind: 5, about: about},
		"the next number":             {kind: 3, code: 3, about: another(1)},
		"the number before":           {kind: 3, code: 3, about: another(^uint32(0))},
		"ports alone":                 {kind: 3, code: 3, about: func(g *rig) []byte { return g.toWire[0][:14+20+4] }},
		"another connection's SYN":    {kind: 3, code: 3, about: func(g *rig) []byte { return g.raw(flowTemplate(1, true), hostSYN(), nil) }},
		"a damaged error":             {kind: 3, code: 3, about: about, damage: true},
		"policy requires encryption":  {kind: 3, code: 3, about: about, policy: flowtable.Require},
		"prohibited, under `require`": {kind: 3, code: 13, about: about, policy: flowtable.Require},
	} {
		t.Run(name, func(t *testing.T) {
			g := newShooter(t)
			g.ctl.policy = c.policy
			g.host(hostSYN())
			raw := g.icmpError(outside, c.kind, c.code, 0, c.about(g))
			if c.damage {
				raw[len(raw)-1] ^= 1
			}
			g.toWire = nil
			g.feed(g.out, raw)
			g.untouched("error", [][]byte{raw}, nil)
			g.state(flowtable.ActiveSyn)
			g.counted(0, shm.PlainSynReset)
			// The SYN still has its chance.
			g.wire(peerSynAck())
			g.state(flowtable.ActiveInit)
		})
	}
}

func TestErrorsFromInsideRefuseNoSyn(t *testing.T) {
	g := newShooter(t)
	g.host(hostSYN())
	raw := g.icmpError(inside, 3, 3, 0, g.raw(g.tpl[outside], fromPeer(0, 0, syn), nil))
	g.toWire = nil
	g.feed(g.in, raw)
	g.untouched("error", nil, [][]byte{raw})
	g.state(flowtable.ActiveSyn)
}

func TestErrorsAboutSYNsAllocateNothing(t *testing.T) {
	testenv.CountsAllocs(t)
	const flows = 512
	g := newRig(t, 64, 4096, false)
	var syns, errors [][]byte
	for n := range 2 * flows {
		syn := g.raw(flowTemplate(n, true), hostSYN(), nil)
		syns, errors = append(syns, syn), append(errors, bytes.Clone(g.icmpError(outside, 3, 3, 0, syn)))
	}
	next := 0
	g.in.fill = func(m *mbuf.Mbuf) bool { return m.Append(syns[next]) }
	g.out.fill = func(m *mbuf.Mbuf) bool { return m.Append(errors[next]) }
	refuse := func(n int) {
		for end := next + n; next < end; next++ {
			g.now += 1e6
			g.in.limit = 1
			g.w.Poll(g.now)
			g.out.limit = 1
			g.w.Poll(g.now)
		}
	}
	refuse(flows)
	if n := mallocs(func() { refuse(flows) }); n > runtimeMallocs {
		t.Errorf("%d allocations for %d errors", n, flows)
	}
	g.counted(2*flows, shm.PlainSynReset)
}
