package worker

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// chaos makes segments that are right, nearly right or nonsense.
type chaos struct {
	*rand.Rand
	g *rig
}

var secret = []byte("this must not be seen on the wire")

func (c *chaos) one(of ...uint32) uint32 { return of[c.IntN(len(of))] }

func (c *chaos) flags() uint8 {
	if c.IntN(8) == 0 {
		return uint8(c.Uint32())
	}
	return uint8(c.one(uint32(syn), uint32(syn|ack), uint32(ack), uint32(ack|psh), uint32(rst), uint32(rst|ack), uint32(ack|fin), uint32(ack|psh|fin)))
}

func (c *chaos) options() (other, enoOpt []byte) {
	switch c.IntN(6) {
	case 0:
		other = []byte{8, 10, 0, 0, 0, byte(c.Uint32()), 0, 0, 0, 9}
	case 1:
		other = []byte{byte(c.Uint32()), byte(c.IntN(12)), byte(c.Uint32()), byte(c.Uint32())}
	case 2:
		other = []byte{packet.KindTFO, 6, 1, 2, 3, 4}
	default:
		other = synOptions
	}
	switch c.IntN(6) {
	case 0, 1:
		enoOpt = enoOfA
	case 2:
		enoOpt = enoOfB
	case 3:
		enoOpt = enoACK
	case 4:
		enoOpt = []byte{eno.Kind, byte(c.IntN(6)), 1, 2}
	}
	return other, enoOpt
}

func (c *chaos) segment(s flowtable.Side) []byte {
	from, to := uint32(hostISN), uint32(peerISN)
	if s == outside {
		from, to = to, from
	}
	seg := packet.Seg{
		Seq: from + c.one(0, 0, 1, 1, 41, 81, 81, 106, 500, 1<<20, 1<<31), Ack: to + c.one(0, 1, 1, 81, 81, 106, 181, 1<<20),
		Win: uint16(c.one(0, 1, 500, 60000)), Flags: c.flags(),
	}
	seg.Other, seg.ENO = c.options()
	var payload []byte
	switch c.IntN(5) {
	case 0:
		payload = secret
	case 1:
		payload = initMessage(tcpcrypt.InitKind(c.one(uint32(tcpcrypt.KindInit1), uint32(tcpcrypt.KindInit2))))
	case 2:
		payload = c.g.sealed(80, c.direction(), "frame")
	}
	if s == outside && bytes.Equal(payload, secret) {
		payload = nil
	}
	raw := c.g.raw(c.g.tpl[s], seg, payload)
	if c.IntN(10) == 0 {
		const ports = 14 + 20 + 4 // it stays one of the connection
		raw[ports+c.IntN(len(raw)-ports)] ^= byte(c.Uint32())
	}
	return raw[:len(raw)-c.IntN(2)*c.IntN(8)]
}

func (c *chaos) direction() tcpcrypt.Direction {
	if c.IntN(2) == 0 {
		return tcpcrypt.AB
	}
	return tcpcrypt.BA
}

// answer makes the control plane answer anything.
func (c *chaos) answer(q *shm.Request, rep *shm.Reply) {
	good := *rep
	switch c.IntN(12) {
	case 0:
		*rep = shm.Reply{Kind: shm.Pass}
	case 1:
		*rep = shm.Reply{Kind: shm.Refuse, Reason: shm.ReasonPolicy}
	case 2:
		*rep = shm.Reply{Kind: shm.Abort, Reason: shm.ReasonBadKey}
	case 3:
		*rep = shm.Reply{Kind: shm.Init1, TEP: 0x23, Secret: []byte{1}, Init: initMessage(tcpcrypt.KindInit1)}
	case 4:
		*rep = shm.Reply{Kind: shm.Keys, Role: 1, TEP: 0x23, AEAD: uint16(c.Uint32())}
	}
	rep.Ref, rep.Seq = good.Ref, good.Seq-c.one(0, 0, 0, 0, 0, 1)
}

func (c *chaos) step() {
	g := c.g
	switch n := c.IntN(40); {
	case n == 0:
		g.later(int64(c.IntN(40)) * second)
	case n == 1:
		g.ctl.dead = !g.ctl.dead
	case n == 2:
		g.ctl.policy = flowtable.Policy(c.IntN(3))
	case n < 6:
		g.mute = !g.mute
		g.turn()
	case n == 6 && len(g.toWire) > 0:
		g.feed(g.out, g.icmpError(outside, 3, 4, c.one(0, 60, 600, 1400), g.toWire[c.IntN(len(g.toWire))]))
	default:
		// Several segments of one burst.
		count := 1 + c.IntN(4)
		in, out := make([][]byte, 0, 4), make([][]byte, 0, 4)
		for range count {
			if c.IntN(2) == 0 {
				in = append(in, c.segment(inside))
			} else {
				out = append(out, c.segment(outside))
			}
		}
		g.in.fill, g.in.limit = from(&in), len(in)
		g.out.fill, g.out.limit = from(&out), len(out)
		g.turn()
	}
}

func from(list *[][]byte) func(m *mbuf.Mbuf) bool {
	return func(m *mbuf.Mbuf) bool {
		b := (*list)[0]
		*list = (*list)[1:]
		return m.Append(b)
	}
}

func TestHostileSegmentsAndAnswersLeakNoBufferAndNoPlaintext(t *testing.T) {
	stages := append(append([]stage(nil), activeStages...), passiveStages...)
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := newShooter(t)
			c := &chaos{Rand: rand.New(rand.NewPCG(seed, 1)), g: g}
			stages[int(seed)%len(stages)].reach(g)
			g.change = c.answer
			for range 120 {
				c.watched()
			}
		})
	}
}

// watched makes a step and looks for plaintext where a connection was, and still is, at a stage that allows none.
func (c *chaos) watched() {
	g := c.g
	var gen uint32
	if r := g.record(0); r != nil && r.Flags&flowtable.FlagStarted != 0 {
		gen = r.Gen
	}
	g.toHost, g.toWire = nil, g.toWire[:min(len(g.toWire), 2)]
	kept := len(g.toWire)
	c.step()
	r := g.record(0)
	if r == nil || gen == 0 || r.Gen != gen || r.Flags&flowtable.FlagStarted == 0 {
		return
	}
	for _, raw := range g.toWire[kept:] {
		if bytes.Contains(raw, secret) {
			g.t.Fatalf("in state %v plaintext went out: %s %x", r.State, g.shot(outside, raw), raw)
		}
	}
}
