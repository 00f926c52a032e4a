package afpacket

import (
	"testing"

	"linecrypt/dataplane/mbuf"
)

func TestMessageForWhichNoPieceIsLeftWaits(t *testing.T) {
	for used := txPieces - 1; used <= txPieces; used++ {
		m := &messages{used: used}
		if n := m.message([]*mbuf.Mbuf{{}}); n != 0 || m.used != used {
			t.Errorf("%d of %d pieces used: %d packets taken, %d pieces used", used, txPieces, n, m.used)
		}
	}
}
