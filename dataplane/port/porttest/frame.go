package porttest

import (
	"bytes"
	"encoding/binary"
	"testing"

	"linecrypt/dataplane/mbuf"
)

// etherType is IEEE's for local experiments.
const etherType = 0x88b5

// Frame returns an Ethernet frame of n bytes, 14 at least, whose payload is told apart by tag.
func Frame(n int, tag byte) []byte {
	b := make([]byte, n)
	copy(b, []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1})
	binary.BigEndian.PutUint16(b[12:], etherType)
	for i := 14; i < n; i++ {
		b[i] = byte(i*7+i>>8) ^ tag
	}
	return b
}

// IsFrame tells frames that Frame has made, tagged or not, from what the kernel sends by itself.
func IsFrame(b []byte) bool {
	return len(b) >= 14 && (binary.BigEndian.Uint16(b[12:]) == etherType ||
		len(b) >= 18 && binary.BigEndian.Uint16(b[12:]) == 0x8100 && binary.BigEndian.Uint16(b[16:]) == etherType)
}

// Tagged returns a frame with a VLAN tag.
func Tagged(b []byte, tci uint16) []byte {
	tag := binary.BigEndian.AppendUint16([]byte{0x81, 0}, tci)
	return append(append(bytes.Clone(b[:12]), tag...), b[12:]...)
}

// Alloc returns a buffer with these bytes in it.
func Alloc(t testing.TB, c *mbuf.Cache, b []byte) *mbuf.Mbuf {
	t.Helper()
	m := c.Alloc()
	if m == nil || !m.Append(b) {
		t.Fatal("no buffer")
	}
	return m
}
