package stream

import (
	"bytes"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

const (
	keepIdle     = int64(7200e9)
	keepInterval = int64(75e9)
)

func keepAlive(c *Config) { c.KeepIdle, c.KeepInterval, c.KeepProbes = keepIdle, keepInterval, 9 }

// keepRig is a rig with keep-alive, whose far end has acknowledged everything.
func keepRig(t *testing.T, change func(*Config), changeLink func(*link)) *rig {
	return newRig(t, func(c *Config) {
		keepAlive(c)
		if change != nil {
			change(c)
		}
	}, changeLink)
}

// farRekeys is the far end's answer to a keep-alive.
func (r *rig) farRekeys() {
	re := data(0)
	re.Rekey = true
	a, b := r.farFrame(re)
	r.far(a, b, 0)
}

// acked lets the far end acknowledge all that was sent, without an answer.
func (r *rig) acked() {
	r.wire(&pkt{seq: wireSeq + uint32(len(r.seal.out)), ack: hostSeq + uint32(r.g.rec.Egress.WNext), win: 65535, flags: ACK})
}

func near(d, want int64) bool { return d > want-200e6 && d < want+400e6 }

func TestAnIdleFarEndIsAskedByRekeying(t *testing.T) {
	r := keepRig(t, nil, nil)
	begin := r.w.now
	r.pass()
	if !near(r.w.now-begin, keepIdle) {
		t.Fatalf("asked after %d s", (r.w.now-begin)/1e9)
	}
	p := r.one(ToWire)
	if f := r.open(initLen, p.data); len(f) != 1 || !f[0].Rekey || len(f[0].Data) != 0 {
		t.Fatalf("sent %v", p)
	}
	r.farRekeys()
	h, w := r.take()
	if len(h) != 0 || len(w) != 1 || len(w[0].data) != 0 {
		t.Fatalf("after the answer: %v to the host, %v to the wire", h, w)
	}
	r.count(shm.KeepAlives, 1)
	r.count(shm.KeepAlivesAnswered, 1)
	begin = r.w.now
	r.pass()
	if !near(r.w.now-begin, keepIdle) {
		t.Errorf("asked again after %d s", (r.w.now-begin)/1e9)
	}
}

func TestAFarEndThatAnswersNothingIsDead(t *testing.T) {
	for name, acks := range map[string]bool{"nothing at all": false, "acknowledgements, which anybody can forge": true} {
		t.Run(name, func(t *testing.T) {
			r := keepRig(t, nil, nil)
			begin := r.w.now
			var first *pkt
			for n := range 9 {
				r.pass()
				p := r.one(ToWire)
				switch {
				case n == 0:
					first = p
				case !acks && !bytes.Equal(p.data, first.data):
					t.Fatalf("keep-alive %d is not the first one again: %v", n, p)
				case acks && len(p.data) > 0:
					t.Fatalf("more than one rekeying is under way: %v", p)
				}
				if acks {
					r.acked()
					if h, _ := r.take(); len(h) > 0 {
						t.Fatalf("the host hears of it: %v", h)
					}
				}
			}
			r.count(shm.KeepAlives, 9)
			r.pass()
			r.aborted(shm.AbortKeepAlive)
			if d := r.w.now - begin; d < keepIdle+9*keepInterval-2e9 || d > keepIdle+9*keepInterval+4e9 {
				t.Errorf("dead after %d s", d/1e9)
			}
		})
	}
}

func TestALateAnswerCounts(t *testing.T) {
	r := keepRig(t, nil, nil)
	for range 9 {
		r.pass()
	}
	r.take()
	r.farRekeys()
	begin := r.w.now
	r.take()
	r.pass()
	if r.g.rec.Egress.Flags&flowtable.EgressDead != 0 || !near(r.w.now-begin, keepIdle) {
		t.Errorf("%d s later: %s", (r.w.now-begin)/1e9, r.g.state())
	}
}

func TestOnlyWhatIsFreshAnswersAKeepAlive(t *testing.T) {
	// Somebody on the path has kept a frame of the far end's, which is no more, and lets it go one at a time.
	r := keepRig(t, nil, nil)
	a, b := r.farFrame(data(10))
	r.pass()
	r.take()
	r.far(a, b, 0)
	r.hostAcks(10)
	r.take()
	for range 8 {
		r.pass()
	}
	r.take()
	r.pass()
	r.aborted(shm.AbortKeepAlive)
}

func TestADamagedAnswerIsNone(t *testing.T) {
	r := keepRig(t, nil, nil)
	r.pass()
	r.take()
	re := data(0)
	re.Rekey = true
	a, b := r.farFrame(re)
	r.seal.out[b-1] ^= 1
	r.far(a, b, 0)
	if r.count(shm.KeepAlivesAnswered, 0); r.g.rec.Ingress.Probes != 1 {
		t.Errorf("%d keep-alives are not answered", r.g.rec.Ingress.Probes)
	}
}

func TestAConnectionInUseIsNotAsked(t *testing.T) {
	r := keepRig(t, nil, nil)
	p := 0
	for range 20 {
		r.w.now += keepIdle / 2
		a, b := r.farFrame(data(10))
		r.far(a, b, 0)
		p += 10
		r.hostAcks(p)
		if d := r.g.core.Deadline(&r.g.rec); d <= r.w.now {
			r.pass()
		}
	}
	r.count(shm.KeepAlives, 0)
	begin := r.w.now
	for r.g.core.n[shm.KeepAlives] == 0 {
		r.pass()
	}
	if !near(r.w.now-begin, keepIdle) {
		t.Errorf("asked after %d s of silence", (r.w.now-begin)/1e9)
	}
}

func TestDataInFlightIsNobodysKeepAlive(t *testing.T) {
	r := keepRig(t, func(c *Config) { c.KeepIdle, c.GiveUp = 30e9, 900e9 }, nil)
	r.say(0, 0, pattern(1, 100))
	begin := r.w.now
	for r.g.rec.Egress.Flags&flowtable.EgressDead == 0 {
		r.pass()
	}
	r.count(shm.KeepAlives, 0)
	r.count(shm.AbortFarEndTimeout, 1)
	if !near(r.w.now-begin, 900e9) {
		t.Errorf("given up after %d s", (r.w.now-begin)/1e9)
	}
}

func TestAHostThatSpeaksUpEndsTheAsking(t *testing.T) {
	r := keepRig(t, nil, nil)
	r.pass()
	first := r.one(ToWire)
	r.say(0, 0, pattern(1, 100))
	if r.g.rec.Ingress.Probes != 0 {
		t.Fatal("keep-alives are counted beside data")
	}
	r.take()
	// The keep-alive was lost: it is in front of the host's data, and is sent again as every segment is.
	begin := r.w.now
	r.pass()
	if _, w := r.take(); r.w.now-begin > 2e9 || len(w) != 1 || !bytes.Equal(w[0].data, first.data) {
		t.Errorf("after %d ms: %v", (r.w.now-begin)/1e6, w)
	}
}

func TestAFarEndThatCannotRekeyIsAskedAsTCPAsks(t *testing.T) {
	for name, prepare := range map[string]func(r *rig){
		"the host has sent its last frame": func(r *rig) {
			r.say(0, FIN, nil)
			r.acked()
		},
		"the far end has sent its last frame": func(r *rig) {
			a, b := r.farFrame(last(10))
			r.far(a, b, FIN)
			r.host(&pkt{seq: hostSeq, ack: wireSeq + 11, win: 65535, flags: ACK})
		},
		"the host takes nothing": func(r *rig) {
			r.host(&pkt{seq: hostSeq, ack: wireSeq, win: 0, flags: ACK})
			r.g.rec.Ingress.WEdge = r.g.rec.Ingress.WOpen
		},
		"the far end takes nothing": func(r *rig) {
			r.g.rec.Egress.WEdge, r.g.rec.Egress.WinTold = r.g.rec.Egress.WNext, 0
		},
	} {
		for _, alive := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				r := keepRig(t, nil, nil)
				prepare(r)
				r.take()
				rounds := 9
				if alive {
					rounds = 30
				}
				win := uint16(65535)
				if name == "the far end takes nothing" {
					win = 0
				}
				for range rounds {
					for asked := r.g.core.n[shm.KeepAlives]; r.g.core.n[shm.KeepAlives] == asked; {
						r.pass()
					}
					p := r.one(ToWire)
					if len(p.data) > 0 || p.flags != ACK || p.seq != hostSeq+uint32(r.g.rec.Egress.WAck)-1 {
						t.Fatalf("asked by %v: %s", p, r.g.state())
					}
					if !alive {
						continue
					}
					r.wire(&pkt{seq: wireSeq + uint32(r.g.rec.Ingress.WAcked), ack: hostSeq + uint32(r.g.rec.Egress.WNext), win: win, flags: ACK})
					r.silence()
				}
				r.count(shm.Rekeys, 0)
				if alive {
					r.count(shm.KeepAlivesAnswered, 30)
					return
				}
				r.pass()
				r.aborted(shm.AbortKeepAlive)
			})
		}
	}
}

func TestTheHostsOwnKeepAliveGoesItsWay(t *testing.T) {
	r := keepRig(t, nil, nil)
	r.w.now += 3600e9
	r.host(&pkt{seq: hostSeq - 1, ack: wireSeq, win: 65535, flags: ACK})
	if p := r.one(ToWire); p.seq != hostSeq+initLen-1 || len(p.data) > 0 {
		t.Fatalf("the far end is asked by %v", p)
	}
	r.wire(&pkt{seq: wireSeq + initLen, ack: hostSeq + initLen, win: 65535, flags: ACK})
	if p := r.one(ToHost); p.ack != hostSeq {
		t.Errorf("the host gets %v", p)
	}
	// The answer was no frame: anybody can have sent it.
	r.pass()
	r.count(shm.KeepAlives, 1)
}

func TestAKeepAliveOfAFarEndThatHasFinishedAsksTheHost(t *testing.T) {
	r := newRig(t, nil, nil)
	fin := ended10(r)
	r.hostAcks(11)
	r.take()
	for range 3 {
		r.w.now += 10e9
		r.wire(&pkt{seq: wireSeq + uint32(fin), ack: hostSeq + initLen, win: 65535, flags: ACK})
		if p := r.one(ToHost); p.seq != wireSeq+10 || len(p.data) > 0 || p.flags != ACK {
			t.Fatalf("the host is asked by %v, where it answers only what is in front of what it expects", p)
		}
		r.hostAcks(11)
		if p := r.one(ToWire); p.ack != wireSeq+uint32(fin)+1 || len(p.data) > 0 {
			t.Fatalf("the far end gets %v", p)
		}
	}
}

func TestAFarEndThatDoesNotCountItsFINAcknowledges(t *testing.T) {
	r := newRig(t, nil, nil)
	fin := ended10(r)
	r.hostAcks(11)
	r.say(0, 0, pattern(1, 100))
	r.take()
	r.wire(&pkt{seq: wireSeq + uint32(fin), ack: hostSeq + initLen + 120, win: 65535, flags: ACK})
	if p := r.one(ToHost); p.ack != hostSeq+100 {
		t.Errorf("the host gets %v", p)
	}
}

func TestTwoGatewaysKeepAHalfClosedConnectionAlive(t *testing.T) {
	for _, fin := range [][2]bool{{true, false}, {false, true}} {
		p := newPair(t, 3, nil, nil, keepAlive)
		p.client.fin, p.server.fin = fin[0], fin[1]
		p.start()
		p.w.run(p.w.now+4*keepIdle, func() bool { return false })
		for _, g := range []*gateway{p.a, p.b} {
			if g.rec.Egress.Flags&flowtable.EgressDead != 0 || g.core.n[shm.AbortKeepAlive] != 0 {
				t.Errorf("%v, %s: %s", fin, g.name, g.state())
			}
		}
		if p.client.reset || p.server.reset {
			t.Errorf("%v: a host was reset", fin)
		}
	}
}

func TestKeepAlivesMakeAConnectionNoYounger(t *testing.T) {
	// On the side that asks and on the side that answers.
	p := newPair(t, 3, nil, nil, func(c *Config) { keepAlive(c); c.RekeyTime = 3600e9 })
	p.client.fin, p.server.fin = false, false
	p.start()
	p.w.run(p.w.now+10e9, func() bool { return false })
	seen := [2]int64{p.a.rec.LastSeen, p.b.rec.LastSeen}
	p.w.run(p.w.now+4*24*3600e9, func() bool { return false })
	if p.a.rec.LastSeen != seen[0] || p.b.rec.LastSeen != seen[1] {
		t.Errorf("seen %d and %d s ago", (p.w.now-p.a.rec.LastSeen)/1e9, (p.w.now-p.b.rec.LastSeen)/1e9)
	}
	for _, g := range []*gateway{p.a, p.b} {
		n := g.core.n
		if g.rec.Egress.Flags&flowtable.EgressDead != 0 || n[shm.AbortKeepAlive] != 0 {
			t.Errorf("%s: %s", g.name, g.state())
		}
		if g.rec.Rare.SealGen < 20 || g.rec.Rare.SealGen > 60 || g.rec.Rare.SealGen != g.rec.Rare.OpenGen {
			t.Errorf("%s: generations %d and %d", g.name, g.rec.Rare.SealGen, g.rec.Rare.OpenGen)
		}
	}
	if a, b := p.a.core.n[shm.KeepAlivesAnswered], p.b.core.n[shm.KeepAlivesAnswered]; a+b < 40 {
		t.Errorf("%d and %d answers in four days", a, b)
	}
	if p.client.reset || p.server.reset {
		t.Error("a host was reset")
	}
}

func TestAVanishedFarEndIsFoundOut(t *testing.T) {
	p := newPair(t, 4, nil, nil, func(c *Config) { keepAlive(c) })
	p.client.fin, p.server.fin = false, false
	p.start()
	p.w.run(p.w.now+24*3600e9, func() bool { return false })
	gone := &impairment{loss: 1}
	p.a.wire, p.b.wire = gone, gone
	begin := p.w.now
	if !p.w.run(p.w.now+24*3600e9, func() bool { return p.client.reset && p.server.reset }) {
		t.Fatalf("client %s, server %s", p.client.state(), p.server.state())
	}
	if d := p.w.now - begin; d > keepIdle+10*keepInterval {
		t.Errorf("found out after %d s", d/1e9)
	}
	p.release()
}

// TestKeepAliveDisturbsNoStream lets connections pause for longer than it takes to be asked, over bad paths.
func TestKeepAliveDisturbsNoStream(t *testing.T) {
	for seed := range uint64(2 * seeds()) {
		p := newPair(t, seed, pattern(1, 30000), pattern(2, 30000), func(c *Config) { c.KeepIdle, c.KeepInterval, c.KeepProbes = 2e9, 1e9, 200 })
		im := &impairment{loss: 0.1, reorder: 0.2, dup: 0.1}
		p.a.wire, p.b.wire = im, im
		p.client.rto, p.server.rto = 300e6, 300e6
		p.client.fin, p.server.fin = false, false
		p.start()
		for range 20 {
			p.w.run(p.w.now+7e9, func() bool { return false })
			p.client.out = append(p.client.out, pattern(byte(seed), 3000)...)
			p.client.timer = p.w.now
			p.client.output(p.w)
		}
		p.client.fin, p.server.fin = true, true
		p.client.output(p.w)
		p.server.output(p.w)
		p.finish()
		if p.a.core.n[shm.KeepAlivesAnswered]+p.b.core.n[shm.KeepAlivesAnswered] == 0 {
			t.Errorf("nobody was asked: %s", p.a.state())
		}
	}
}

func TestFramesOfNoUseAreThoseWithoutPlaintextThatRekey(t *testing.T) {
	r := keepRig(t, nil, nil)
	begin := r.g.rec.LastSeen
	r.w.now += 10e9
	r.farRekeys()
	if r.g.rec.LastSeen != begin {
		t.Error("a rekeying makes the connection younger")
	}
	r.acked()
	if r.g.rec.LastSeen != begin {
		t.Error("the acknowledgement of an answer makes the connection younger")
	}
	a, b := r.farFrame(tcpcrypt.Frame{})
	r.far(a, b, 0)
	if r.g.rec.LastSeen != r.w.now {
		t.Error("an empty frame that does not rekey is not seen")
	}
	r.w.now += 10e9
	r.wire(&pkt{seq: wireSeq + uint32(len(r.seal.out)), ack: hostSeq + uint32(r.g.rec.Egress.WNext), win: 65535, flags: ACK})
	if r.g.rec.LastSeen != r.w.now {
		t.Error("an acknowledgement is not seen")
	}
}
