package packet

import (
	"encoding/binary"
	"testing"
)

func TestASegmentFollowsOneOfTheSameEndOfTheSameConnectionAlone(t *testing.T) {
	base := func() []byte {
		b := make([]byte, plainHead+3)
		binary.BigEndian.PutUint16(b[12:], etherIPv4)
		b[14], b[14+3], b[14+9], b[34+12] = 0x45, uint8(len(b)-14), protoTCP, 5<<4
		return b
	}
	one := parsed(t, base())
	if same, sure := parsed(t, base()).Follows(one); one.Class != TCP || !same || !sure {
		t.Error("does not follow its like")
	}
	for at := 26; at < 38; at++ { // addresses and ports
		b := base()
		b[at]++
		if same, sure := parsed(t, b).Follows(one); same || !sure {
			t.Errorf("follows one that differs in byte %d, or is not sure", at)
		}
	}
	for name, f := range tcpFrames() {
		p := parsed(t, f.bytes())
		if same, sure := p.Follows(p); (p.Ver != 4 || p.VLAN != 0) && (same || sure) {
			t.Errorf("%s: more than addresses and ports decides", name)
		}
	}
}

func TestMappedEndsAreTheEnds(t *testing.T) {
	some := 0
	for name, f := range tcpFrames() {
		p := parsed(t, f.bytes())
		var src, dst [16]byte
		p.Ends(&src, &dst)
		a, b, ok := p.MappedEnds()
		if !ok {
			continue
		}
		some++
		var wantA, wantB [16]byte
		binary.LittleEndian.PutUint64(wantA[8:], a)
		binary.LittleEndian.PutUint64(wantB[8:], b)
		if wantA != src || wantB != dst {
			t.Errorf("%s: %x and %x, not %x and %x", name, wantA, wantB, src, dst)
		}
	}
	if some == 0 {
		t.Error("no packet has any")
	}
}
