package foreign

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"linecrypt/bench/hosts"
)

func frameOf(options, data []byte) []byte {
	s := segment{src: netip.AddrFrom4([4]byte{10, 99, 0, 1}), dst: netip.AddrFrom4([4]byte{10, 99, 0, 2}), srcPort: 4000, dstPort: 7,
		seq: 1 << 31, ack: 5, flags: flagACK | flagPSH, window: 500, options: options, data: data}
	return s.packet(net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2})
}

// What the endpoint takes for a segment, gVisor's code takes for the same one, and writing it again gives the same bytes but for what IP says.
func FuzzParse(f *testing.F) {
	f.Add(frameOf(nil, nil))
	f.Add(frameOf([]byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, []byte("hello")))
	f.Add(frameOf([]byte{3, 3, 7, 0}, make([]byte, 1400))[:300])
	f.Fuzz(func(t *testing.T, frame []byte) {
		var s segment
		if !s.parse(frame) {
			return
		}
		scaleOf(s.options)
		theirs, ok := hosts.Parse(frame)
		if !ok {
			t.Fatal("gVisor's code takes it for none")
		}
		if s.src != theirs.Src || s.dst != theirs.Dst || s.srcPort != theirs.TCP.SourcePort() || s.dstPort != theirs.TCP.DestinationPort() ||
			s.seq != theirs.TCP.SequenceNumber() || s.ack != theirs.TCP.AckNumber() || s.flags != byte(frame[14+int(frame[14]&15)*4+13]) ||
			s.window != theirs.TCP.WindowSize() || !bytes.Equal(s.options, theirs.TCP.Options()) || !bytes.Equal(s.data, theirs.Payload()) {
			t.Errorf("%+v is not what gVisor's code reads", s)
		}
		var again segment
		if !again.parse(s.packet(frame[6:12], frame[:6])) || again.seq != s.seq || !bytes.Equal(again.options, s.options) || !bytes.Equal(again.data, s.data) {
			t.Errorf("written and read again it is %+v", again)
		}
	})
}

func TestWindowScaleIsFoundBehindOtherOptions(t *testing.T) {
	for name, c := range map[string]struct {
		options []byte
		want    uint8
		found   bool
	}{
		"alone":             {[]byte{3, 3, 7}, 7, true},
		"behind others":     {[]byte{2, 4, 5, 180, 1, 3, 3, 2}, 2, true},
		"behind the end":    {[]byte{0, 3, 3, 7}, 0, false},
		"cut off":           {[]byte{3, 3}, 0, false},
		"length of nothing": {[]byte{8, 0, 3, 3, 7}, 0, false},
		"none":              {nil, 0, false},
	} {
		if got, found := scaleOf(c.options); got != c.want || found != c.found {
			t.Errorf("%s: %d, %v; want %d, %v", name, got, found, c.want, c.found)
		}
	}
}
