package packet

import (
	"encoding/binary"
	"slices"
	"testing"

	"linecrypt/dataplane/mbuf"
)

// behind parses a burst, and returns what that says of each packet and the one before it.
func behind(t *testing.T, packets ...[]byte) (said []Behind) {
	t.Helper()
	ms := make([]*mbuf.Mbuf, len(packets))
	for i, b := range packets {
		ms[i] = parsed(t, b).M
	}
	pkts := make([]Packet, len(ms))
	ParseBurst(ms, pkts)
	for i := range pkts {
		said = append(said, pkts[i].Behind())
	}
	return said
}

func TestOnlySegmentsOfOneEndOfAConnectionAreSaidToBe(t *testing.T) {
	base := func() []byte { // all addresses and ports are 0
		b := make([]byte, plainHead+3)
		binary.BigEndian.PutUint16(b[12:], etherIPv4)
		b[14], b[14+3], b[14+9], b[34+12] = 0x45, uint8(len(b)-14), protoTCP, 5<<4
		return b
	}
	if got := behind(t, base(), base(), base()); !slices.Equal(got, []Behind{Other, Same, Same}) {
		t.Errorf("of three segments of an end: %d", got)
	}
	for at := 26; at < 38; at++ { // addresses and ports
		b := base()
		b[at]++
		if got := behind(t, base(), b, b, base()); !slices.Equal(got, []Behind{Other, Other, Same, Other}) {
			t.Errorf("of segments that differ in byte %d: %d", at, got)
		}
	}
	unusual := base()
	unusual[14+6] = 0x20 // a fragment
	if got := behind(t, unusual, base(), unusual, unusual, base(), base()); !slices.Equal(got, []Behind{Anything, Anything, Anything, Anything, Anything, Same}) {
		t.Errorf("of segments beside fragments: %d", got)
	}
	for name, f := range tcpFrames() {
		b := f.bytes()
		p := parsed(t, b)
		want := []Behind{Anything, Anything}
		if p.Ver == 4 && p.L3 == ethLen && p.L4 == plainL4 && p.CommonOptions(p.Opt.Present&OptTimestamps != 0) {
			want = []Behind{Other, Same}
		}
		if got := behind(t, b, b); !slices.Equal(got, want) {
			t.Errorf("%s twice: %d, not %d", name, got, want)
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
