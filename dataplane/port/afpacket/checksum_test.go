package afpacket

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// plainSum is the checksum as RFC 1071 words it.
func plainSum(b []byte) uint16 {
	sum := uint32(0)
	for i, c := range b {
		if i%2 == 0 {
			sum += uint32(c) << 8
		} else {
			sum += uint32(c)
		}
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

func TestOnesSumAgreesWithThePlainOneAtEveryLength(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 200 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		if got, want := onesSum(b), plainSum(b); got != want {
			t.Fatalf("%d bytes: %#04x, want %#04x", n, got, want)
		}
		for i := range b {
			b[i] = 0xff
		}
		if got, want := onesSum(b), plainSum(b); got != want {
			t.Fatalf("%d bytes of ff: %#04x, want %#04x", n, got, want)
		}
	}
}

func TestCompleteRefusesAFieldOutsideTheFrame(t *testing.T) {
	frame := make([]byte, 60)
	for _, c := range []struct {
		start, offset int
		ok            bool
	}{
		{34, 16, true}, {58, 0, true}, {59, 0, false}, {60, 0, false}, {61, 0, false}, {65535, 65535, false}, {34, 25, false},
		{34, 24, true}, {0, 65535, false},
	} {
		if got := complete(bytes.Clone(frame), c.start, c.offset); got != c.ok {
			t.Errorf("start %d, offset %d: %v", c.start, c.offset, got)
		}
	}
}

func FuzzComplete(f *testing.F) {
	f.Add(make([]byte, 60), uint16(34), uint16(16))
	f.Add([]byte{}, uint16(0), uint16(0))
	f.Add(make([]byte, 3), uint16(65535), uint16(1))
	f.Fuzz(func(t *testing.T, frame []byte, start, offset uint16) {
		at := int(start) + int(offset&^1)
		var pseudo [2]byte
		if at+2 <= len(frame) {
			copy(pseudo[:], frame[at:])
		}
		if !complete(frame, int(start), int(offset&^1)) {
			if at+2 <= len(frame) {
				t.Errorf("refused a field inside the frame")
			}
			return
		}
		// What a receiver does: the pseudo-header's sum and the whole range give all ones.
		if sum := plainSum(append(pseudo[:], frame[start:]...)); sum != 0xffff {
			t.Errorf("the receiver's sum is %#04x", sum)
		}
	})
}
