package worker

import (
	"encoding/binary"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
)

// A far end that has got the SYN-ACK believes the answer to a SYN that somebody forged: it has window and timestamps as the SYN-ACK had, so
// that nobody closes the window of another's connection (RFC 9293 section 3.10.7.4, RFC 7323 section 3.2).
func TestChallengeBeforeENOIsConfirmedHasWindowAndTimestamps(t *testing.T) {
	for name, c := range map[string]struct {
		scale []byte // option of both SYNs
		win   uint16
	}{
		"window scale": {synOptions, 60000 >> 10},
		"none":         {synOptions[:4], 60000},
	} {
		t.Run(name, func(t *testing.T) {
			g := newShooter(t)
			g.wire(with(stamped(peerSYN(), 7000, 0), c.scale, enoOfA))
			g.host(with(stamped(hostSynAck(), 100, 7000), c.scale, nil))
			g.toHost, g.toWire = nil, nil
			forged := with(stamped(peerSYN(), 1, 0), c.scale, enoOfA)
			forged.Seq += 1 << 20
			g.wire(forged)
			raw := g.toWire[0]
			g.expect("forged SYN", nil, list("A s1 a1 eno"))
			if win := binary.BigEndian.Uint16(raw[14+20+14:]); win != c.win {
				t.Errorf("the window is %d, not %d", win, c.win)
			}
			if got := g.timestamps(raw); got != [2]uint32{100, 7000} {
				t.Errorf("timestamps %v", got)
			}
		})
	}
}

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
