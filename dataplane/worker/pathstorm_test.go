package worker

import (
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
)

// A far end that tells of ever smaller paths to itself, by errors about its own connection, sends no other connection to the slow path.
func TestErrorsAboutOnePathLeaveOtherConnectionsOnTheFastPath(t *testing.T) {
	for name, from := range map[string]uint32{"longer than the port carries": 60000, "shorter": 1400} {
		t.Run(name, func(t *testing.T) {
			g := newShooterWith(t, func(c *Config) { c.MTU = ports(1500, 1500) })
			g.openPassive(0)
			g.openPassive(1)
			g.toHost, g.toWire = nil, nil
			g.say(0, 0, 1000)
			about := g.toWire[0]
			for i := range 20 { // the templates are fresh
				g.say(1, 10*i, 10)
			}
			before := g.w.n[shm.FastSegments]
			const rounds = 200
			for i := range rounds {
				g.now += ms / 10
				g.feed(g.out, g.icmpError(outside, 3, 4, from-uint32(i), about))
				g.say(1, 200+10*i, 10)
				g.feed(g.out, g.raw(flowTemplate(1, false), packet.Seg{Seq: peerISN + 81, Ack: hostISN + 81 + 30*20 + 30*uint32(i+1), Win: 65535, Flags: ack}, nil))
			}
			if learnt := g.w.n[shm.PathsLearned]; from > 1500 && learnt > 0 {
				t.Errorf("%d paths are learnt that take all that is sent", learnt)
			}
			if fast := g.w.n[shm.FastSegments] - before; fast < 2*rounds-2-pathSteps {
				t.Errorf("%d of %d segments took the fast path, %d paths were learnt", fast, 2*rounds, g.w.n[shm.PathsLearned])
			}
		})
	}
}
