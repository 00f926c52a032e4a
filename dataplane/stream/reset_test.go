package stream

import (
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

func TestResetOfTheHostPassesTranslated(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, 0, pattern(1, 100))
	r.take()
	r.host(&pkt{seq: hostSeq + 100, flags: RST})
	if p := r.one(ToWire); p.seq != hostSeq+initLen+120 || p.flags != RST {
		t.Errorf("sent %v", p)
	}
	if r.g.events[len(r.g.events)-1].Kind != EventReset {
		t.Error("no event")
	}
	r.far(initLen, initLen, 0)
	if p := r.one(ToWire); p.flags != RST || p.seq != hostSeq+initLen+120 {
		t.Errorf("a straggler was answered by %v", p)
	}
	r.pass()
	r.pass()
	if !r.g.freed || r.g.leaks() != 0 {
		t.Errorf("freed %v, %d buffers lost", r.g.freed, r.g.leaks())
	}
}

func TestResetOfTheFarEndPassesWhereItIsExact(t *testing.T) {
	for _, c := range []struct {
		name string
		w    int
		want uint32 // plaintext position
	}{{"behind what was sent", 120, 100}, {"at what was acknowledged", 0, 0}} {
		r := newRig(t, nil, nil)
		a, b := r.farFrame(data(100))
		r.far(a, b, 0)
		r.take()
		r.wire(&pkt{seq: wireSeq + uint32(initLen+c.w), flags: RST})
		h, w := r.take()
		if len(w) != 0 || len(h) == 0 || h[0].seq != wireSeq+c.want || h[0].flags != RST {
			t.Fatalf("%s: sent %v and %v", c.name, h, w)
		}
		if exact := len(h) == 1; exact != (r.g.rec.Egress.Flags&flowtable.EgressDead != 0) || exact != (c.w == 120) {
			t.Errorf("%s: sent %v: %s", c.name, h, r.g.state())
		}
	}
}

// Both ends have data in flight and let the connection go: each answers what comes by a RST at what it is acknowledged, and then is silent.
func TestResetsOfBothEndsAtWhatTheyWereToldEndTheConnection(t *testing.T) {
	host, wire := &pkt{seq: hostSeq, flags: RST}, &pkt{seq: wireSeq + initLen, flags: RST}
	for name, hostFirst := range map[string]bool{"the host first": true, "the far end first": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			a, b := r.farFrame(data(100))
			r.far(a, b, 0)
			r.host(&pkt{seq: hostSeq, ack: wireSeq, win: 65535, flags: ACK, data: pattern(1, 100)})
			reset := func(ofHost bool) {
				p := *wire
				if ofHost {
					p = *host
					r.host(&p)
				} else {
					r.wire(&p)
				}
				r.take()
			}
			for range 3 { // however often one of them says so, the other decides
				if reset(hostFirst); r.g.rec.Egress.Flags&flowtable.EgressDead != 0 {
					t.Fatalf("one end ends it: %s", r.g.state())
				}
			}
			if reset(!hostFirst); r.g.rec.Egress.Flags&flowtable.EgressDead == 0 || r.g.events[len(r.g.events)-1].Kind != EventReset {
				t.Errorf("it goes on: %s", r.g.state())
			}
			r.pass()
			r.pass()
			if !r.g.freed || r.g.leaks() != 0 {
				t.Errorf("freed %v, %d buffers lost", r.g.freed, r.g.leaks())
			}
		})
	}
}

// ended10 has the far end send its last frame of 10 bytes, and its FIN behind it, and returns the FIN's wire position.
func ended10(r *rig) (end int) {
	from, to := r.farFrame(last(10))
	r.far(from, to, FIN)
	r.take()
	return to
}

func TestResetBehindAFINIsExact(t *testing.T) {
	for _, c := range []struct {
		name         string
		acked        bool // the host has acknowledged the FIN
		inFlight     bool // and sent what is not acknowledged
		at           int  // of the RST, behind the FIN's place
		dead, passed bool
		want         uint32 // plaintext position of what the host gets
	}{
		{"behind it", true, false, 1, true, true, 11},
		{"behind it, with data on its way to the far end", true, true, 1, true, true, 11},
		{"behind it, before the host has acknowledged it", false, false, 1, true, true, 11},
		{"at it, which the host may believe or not", true, false, 0, false, true, 10},
		{"in front of it", true, false, -1, false, false, 0},
		{"two behind it", true, false, 2, false, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, nil, nil)
			end := ended10(r)
			if c.acked {
				r.hostAcks(11)
			}
			if c.inFlight {
				r.say(0, 0, pattern(1, 100))
			}
			r.take()
			r.wire(&pkt{seq: wireSeq + uint32(end+c.at), flags: RST})
			h, _ := r.take()
			if got := len(h) > 0 && h[0].flags == RST; got != c.passed || got && h[0].seq != wireSeq+c.want {
				t.Errorf("the host gets %v", h)
			}
			if dead := r.g.rec.Egress.Flags&flowtable.EgressDead != 0; dead != c.dead {
				t.Errorf("dead is %v: %s", dead, r.g.state())
			}
		})
	}
}

func TestResetElsewhereInTheWindowIsChallenged(t *testing.T) {
	r := newRig(t, nil, nil)
	r.wire(&pkt{seq: wireSeq + initLen + 50, flags: RST})
	if p := r.one(ToWire); p.ack != wireSeq+initLen || p.flags != ACK {
		t.Errorf("sent %v", p)
	}
	r.wire(&pkt{seq: wireSeq + initLen - 1, flags: RST})
	r.wire(&pkt{seq: wireSeq + 0x10000000, flags: RST})
	r.silence()
	r.count(shm.DropIngressRST, 3)
	if r.g.rec.Egress.Flags&flowtable.EgressDead != 0 {
		t.Error("the connection is dead")
	}
}

func TestAbortFreesEverything(t *testing.T) {
	r := newRig(t, nil, nil)
	r.say(0, 0, pattern(1, 100))
	r.farFrame(data(60000))
	r.far(initLen, initLen+1000, 0)
	r.far(initLen+1100, initLen+1200, 0)
	r.g.core.Abort(testFlow, &r.g.rec, shm.AbortCaller, r.w.now, r.g.out)
	r.flush()
	r.aborted(shm.AbortCaller)
	for range 2 {
		r.pass()
	}
	if !r.g.freed || r.g.leaks() != 0 || len(r.g.core.large.free) != 16 || len(r.g.core.keys.free) != 16 {
		t.Errorf("freed %v, %d buffers lost: %s", r.g.freed, r.g.leaks(), r.g.state())
	}
	if r.g.rec.Rare.Seal != (flowtable.Secrets{}) || r.g.rec.Rare.Open != (flowtable.Secrets{}) {
		t.Error("secrets remain")
	}
}
