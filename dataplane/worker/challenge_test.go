package worker

import (
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
)

// Whoever knows addresses and ports alone can have SYNs answered. The answers reach an end that has sent nothing as duplicate acknowledgements, and
// there is one in a while, as for all else that is not believed (RFC 5961 section 7).
func TestForgedSynsAreAnsweredOnceInAWhile(t *testing.T) {
	for _, at := range []stage{passiveStages[1], activeStages[2], passiveStages[2], activeStages[5], passiveStages[4]} {
		t.Run(at.name, func(t *testing.T) {
			g := at.at(t)
			for _, forged := range []packet.Seg{peerSYN(), peerSynAck()} {
				g.toHost, g.toWire = nil, nil
				spared := g.w.n[shm.ChallengesSpared]
				for range uint32(20) {
					forged.Seq += 1 << 20
					g.wire(forged)
				}
				if len(g.toHost) > 0 || len(g.toWire) > 1 {
					t.Errorf("20 segments were answered by %d to the far end and %d to the host", len(g.toWire), len(g.toHost))
				}
				if len(g.toWire) == 1 && g.w.n[shm.ChallengesSpared]-spared != 19 {
					t.Errorf("%d answers were spared", g.w.n[shm.ChallengesSpared]-spared)
				}
				g.now += second / 2
			}
		})
	}
	t.Run("from the host's side", func(t *testing.T) {
		g := passiveStages[4].at(t)
		for range 20 {
			forged := hostSYN()
			forged.Seq += 1 << 20
			g.host(forged)
		}
		if len(g.toHost) != 1 || len(g.toWire) != 0 {
			t.Errorf("20 SYNs were answered by %d to the host and %d to the far end", len(g.toHost), len(g.toWire))
		}
	})
}
