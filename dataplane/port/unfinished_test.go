package port

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// packetOf builds an Ethernet frame with a TCP or UDP packet whose checksum is left to finish does.
func packetOf(v6, udp bool, tags int, finish func(segment []byte, pseudo uint16) uint16) []byte {
	f := make([]byte, 12)
	for range tags {
		f = append(f, 0x81, 0, 0, 5)
	}
	proto, at, segment := byte(protoTCP), 16, append(bytes.Repeat([]byte{0}, 20), "some payload"...)
	if udp {
		proto, at = protoUDP, 6
	}
	segment[1], segment[3], segment[12] = 80, 81, 5<<4
	var addresses []byte
	if v6 {
		addresses = append(bytes.Repeat([]byte{0xfd, 1}, 8), bytes.Repeat([]byte{0xfd, 2}, 8)...)
		f = append(f, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(segment)), proto, 64)
	} else {
		addresses = []byte{10, 0, 0, 1, 10, 0, 0, 2}
		f = append(f, 8, 0, 0x45, 0, 0, byte(20+len(segment)), 0, 0, 0, 0, 64, proto, 0, 0)
	}
	segment[at], segment[at+1] = 0, 0
	pseudo := fold(words(addresses) + uint64(proto) + uint64(len(segment)))
	binary.BigEndian.PutUint16(segment[at:], finish(segment, pseudo))
	return append(append(f, addresses...), segment...)
}

func TestUnfinishedChecksumsAreToldFromFinishedOnes(t *testing.T) {
	for name, c := range map[string]struct {
		finish func([]byte, uint16) uint16
		want   bool
	}{
		"unfinished": {func(_ []byte, pseudo uint16) uint16 { return pseudo }, true},
		"finished":   {func(b []byte, pseudo uint16) uint16 { return ^fold(uint64(pseudo) + words(b)) }, false},
		"damaged":    {func(b []byte, pseudo uint16) uint16 { return ^fold(uint64(pseudo)+words(b)) + 1 }, false},
		"none":       {func([]byte, uint16) uint16 { return 0 }, false},
		"finished, and the pseudo-header's sum by chance": {func(b []byte, pseudo uint16) uint16 {
			binary.BigEndian.PutUint16(b[24:], ^fold(2*uint64(pseudo)+words(b)-words(b[24:26])))
			return pseudo
		}, false},
	} {
		for tags := range 3 {
			for i := range 4 {
				if got := UnfinishedChecksum(packetOf(i&1 != 0, i&2 != 0, tags, c.finish)); got != c.want {
					t.Errorf("%s: IPv6 %v, UDP %v, %d tags: %v", name, i&1 != 0, i&2 != 0, tags, got)
				}
			}
		}
	}
}

func TestFragmentsHaveNoChecksumToLookAt(t *testing.T) {
	f := packetOf(false, false, 0, func(_ []byte, pseudo uint16) uint16 { return pseudo })
	f[20] = 0x20
	if UnfinishedChecksum(f) {
		t.Error("a fragment has a checksum")
	}
}

func FuzzUnfinishedChecksum(f *testing.F) {
	for i := range 4 {
		f.Add(packetOf(i&1 != 0, i&2 != 0, i, func(_ []byte, pseudo uint16) uint16 { return pseudo }))
	}
	f.Fuzz(func(_ *testing.T, frame []byte) { UnfinishedChecksum(frame) })
}
