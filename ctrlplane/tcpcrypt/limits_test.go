package tcpcrypt

import (
	"math"
	"testing"
)

func TestKeysOfGCMKeepTheBoundOfTLS(t *testing.T) {
	for _, a := range AEADs() {
		l := a.Limits()
		if l.Frames == 0 || l.Bytes == 0 || l.Frames > math.MaxUint32 {
			t.Errorf("%v: %+v", a, l)
		}
		if a == ChaCha20Poly1305 {
			continue
		}
		blocks := float64(l.Bytes)/16 + float64(l.Frames) // one of each frame's is not full
		if advantage := 2*math.Log2(blocks+float64(l.Frames)+1) - 129; advantage > -60 {
			t.Errorf("%v: an advantage of 2^%.2f", a, advantage)
		}
	}
}
