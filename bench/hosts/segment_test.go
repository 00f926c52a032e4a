package hosts

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// collected returns copies of the frames with payload that a transfer of text puts on the wire between two bare hosts, and
// the SYN.
func collected(t *testing.T, f Family) (syn []byte, data [][]byte) {
	t.Helper()
	n := New(t, Options{NoA: true, NoB: true})
	var mu sync.Mutex
	n.Wire.Tap(func(d Direction, frame []byte) {
		s, ok := Parse(frame)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case ok && s.SYN() && !s.ACK():
			syn = bytes.Clone(frame)
		case ok && d == ToServer && s.PayloadLen > 0:
			data = append(data, bytes.Clone(frame))
		}
	})
	client, server := n.Connect(t, n.Listen(t, f))
	if _, err := client.Write([]byte("one two three")); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Read(make([]byte, 20)); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	return syn, data
}

// sound reports whether the checksums of a frame are right.
func sound(frame []byte) bool {
	s, ok := Parse(frame)
	if !ok || s.Src.Is4() && !header.IPv4(frame[14:]).IsChecksumValid() {
		return false
	}
	src, dst := tcpip.AddrFromSlice(s.Src.AsSlice()), tcpip.AddrFromSlice(s.Dst.AsSlice())
	payload := s.Payload()
	return s.TCP.IsChecksumValid(src, dst, checksum.Checksum(payload, 0), uint16(len(payload)))
}

func TestSplitSegmentsAreTheWholeOneInTwo(t *testing.T) {
	for _, f := range []Family{IPv4, IPv6} {
		_, data := collected(t, f)
		if len(data) == 0 {
			t.Fatal("no segment with payload was seen")
		}
		whole, _ := Parse(data[0])
		for seed := range uint64(20) {
			head, tail, ok := split(data[0], rand.New(rand.NewPCG(seed, 0)))
			if !ok || !sound(head) || !sound(tail) {
				t.Fatalf("IPv%d: split %v into\n%s\n%s", f, ok, Describe(head, len(head)), Describe(tail, len(tail)))
			}
			a, _ := Parse(head)
			b, _ := Parse(tail)
			if joined := append(bytes.Clone(a.Payload()), b.Payload()...); !bytes.Equal(joined, whole.Payload()) ||
				a.TCP.SequenceNumber() != whole.TCP.SequenceNumber() || b.TCP.SequenceNumber() != whole.TCP.SequenceNumber()+uint32(a.PayloadLen) {
				t.Fatalf("IPv%d: %q became %q and %q", f, whole.Payload(), a.Payload(), b.Payload())
			}
		}
	}
}

func TestRemovedOptionLeavesTheOthers(t *testing.T) {
	syn, _ := collected(t, IPv4)
	s, ok := Parse(syn)
	if !ok || !s.RemoveOption(KindMSS) || !sound(syn) {
		t.Fatalf("no MSS option was removed from %s", Describe(syn, len(syn)))
	}
	if _, left := s.Option(KindMSS); left {
		t.Error("the option is still there")
	}
	if line := Describe(syn, len(syn)); !strings.Contains(line, "sackOK") || !strings.Contains(line, "wscale") || strings.Contains(line, "mss") {
		t.Errorf("behind the removal the SYN is %s", line)
	}
	if s.RemoveOption(KindENO) {
		t.Error("an option was removed that was not there")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{})
	f.Add(append(make([]byte, 12), 8, 0, 0x45, 0, 0, 40))
	f.Add(append(append(make([]byte, 12), 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6), make([]byte, 60)...))
	f.Fuzz(func(t *testing.T, frame []byte) {
		Describe(frame, len(frame))
		if s, ok := Parse(frame); ok && len(s.Payload()) > len(frame) {
			t.Fatal("payload longer than its frame")
		}
	})
}
