package worker

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/ctrlplane/trace"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// newTrace makes a region in memory of the test's.
func newTrace(t *testing.T) trace.Region {
	t.Helper()
	r, err := trace.Attach(alignedBytes(trace.Size))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// story returns what a trace has, one line for each event.
func story(d *trace.Reader) (lines []string) {
	var e trace.Event
	for {
		ok, lost := d.Next(&e)
		if lost > 0 {
			lines = append(lines, fmt.Sprintf("%d lost", lost))
		}
		if !ok {
			return lines
		}
		line := fmt.Sprintf("%d %v", e.Packet, e.Station)
		switch e.Station {
		case trace.Rx, trace.Tx:
			from, to := netip.AddrFrom16(e.Src).Unmap(), netip.AddrFrom16(e.Dst).Unmap()
			line += fmt.Sprintf(" %v %v:%d>%v:%d len %d", flowtable.Side(e.Side), from, e.SrcPort, to, e.DstPort, e.Length)
		case trace.Verdict:
			line += fmt.Sprintf(" %v", flowtable.State(e.State))
		case trace.Translate:
			line += fmt.Sprintf(" to %v len %d", flowtable.Side(e.Side), e.Length)
		case trace.Seal, trace.Open:
			line += fmt.Sprintf(" %d %v", e.Length, e.OK)
		case trace.Count:
			line += fmt.Sprintf(" %v %d", shm.Counter(e.Counter), e.Number)
		}
		lines = append(lines, line)
	}
}

// everything is a filter that every packet with addresses fits.
func everything() *trace.Filter { return &trace.Filter{Packets: 1 << 30} }

func TestTraceTellsWhatEachStationDidWithAPacket(t *testing.T) {
	region := newTrace(t)
	d := trace.NewReader(region)
	g := newRig(t, 8, 256, false, func(c *Config) { c.Trace = region })
	r := g.openPassive(1)
	g.openPassive(2)
	if lines := story(d); lines != nil {
		t.Fatalf("a story that nobody asked for: %q", lines)
	}
	host := netip.MustParseAddr("10.1.0.1").As16()
	region.Begin(&trace.Filter{A: trace.End{Addr: host, Bits: 128, Port: 1025}, Packets: 3}, g.now+1e9)
	data := func(n int, size int) []byte {
		tpl := flowTemplate(n, true)
		return g.raw(tpl, packet.Seg{Seq: hostISN + 1 + uint32(g.record(n).Egress.PNext), Ack: peerISN + 1, Win: 65535, Flags: packet.FlagACK | packet.FlagPSH}, make([]byte, size))
	}
	g.feed(g.in, data(1, 100))
	g.feed(g.in, data(2, 100)) // of another connection
	want := []string{
		"1 rx inside 10.1.0.1:1025>10.2.0.1:80 len 100", "1 verdict encrypted", "1 seal 101 true", "1 translate to outside len 120",
		"1 tx outside 10.1.0.1:1025>10.2.0.1:80 len 120",
	}
	got := story(d)
	if !slices.Equal(got[:min(len(got), len(want))], want) {
		t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if rest := strings.Join(got[len(want):], "\n"); !strings.Contains(rest, "1 count sealed_frames 1") || strings.Contains(rest, "2 ") || strings.Contains(rest, "rx_") {
		t.Errorf("what was counted for it: %q", rest)
	}

	bad := data(1, 50)
	bad[len(bad)-1] ^= 1
	g.feed(g.in, bad)
	if got := story(d); !slices.Contains(got, "2 count drop_checksum 1") || slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, " tx ") }) {
		t.Errorf("a packet that is dropped: %q", got)
	}

	stream, err := tcpcrypt.Seal(make([]byte, 80), ptr(g.master.Traffic(tcpcrypt.AES128GCM, tcpcrypt.AB)), 80, tcpcrypt.Frame{Plaintext: tcpcrypt.Plaintext{Data: make([]byte, 10)}})
	if err != nil {
		t.Fatal(err)
	}
	frame := stream[80:]
	frame[len(frame)-1] ^= 1
	g.feed(g.out, g.raw(flowTemplate(1, false), packet.Seg{Seq: peerISN + 81, Ack: hostISN + 1 + uint32(r.Egress.WNext), Win: 65535, Flags: packet.FlagACK}, frame))
	if got := story(d); !slices.Contains(got, "3 open 11 false") {
		t.Errorf("a frame with a wrong tag: %q", got)
	}

	g.feed(g.in, data(1, 20))
	if got := story(d); slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, " rx ") }) {
		t.Errorf("a fourth packet of three: %q", got)
	}
	region.End()
	g.feed(g.in, data(1, 20))
	if got := story(d); got != nil {
		t.Errorf("after the end: %q", got)
	}
}

func ptr[T any](v T) *T { return &v }

func TestTraceTellsWhatTheGatewaySendsByItself(t *testing.T) {
	region := newTrace(t)
	d := trace.NewReader(region)
	g := newRig(t, 8, 256, false, func(c *Config) { c.Trace = region })
	region.Begin(everything(), 1<<62)
	g.openPassive(1)
	got := story(d)
	if !slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "0 tx outside") && strings.HasSuffix(s, "len 80") }) {
		t.Errorf("the Init message, which follows the control plane's answer, is missing:\n%s", strings.Join(got, "\n"))
	}
}

// A traced worker has bursts of one packet, so that its twin gets one at a time.
func TestTracedWorkersDoTheSame(t *testing.T) {
	for seed := range uint64(6) {
		region := newTrace(t)
		region.Begin(everything(), 1<<62)
		tw := newTwins(t, seed, func(twin int, c *Config) {
			if twin == 1 {
				c.Trace = region
			}
		})
		tw.apart = true
		d := trace.NewReader(region)
		for range 60 {
			tw.burst(t)
		}
		if len(story(d)) < trace.Events/2 {
			t.Error("hardly anything was traced")
		}
	}
}

func TestTracingAllocatesNothing(t *testing.T) {
	region := newTrace(t)
	g := newRig(t, 8, 256, false, func(c *Config) { c.Trace = region })
	r := g.openPassive(1)
	region.Begin(everything(), 1<<62)
	pure := g.raw(flowTemplate(1, true), packet.Seg{Seq: hostISN + 1, Ack: peerISN + 1 + uint32(r.Ingress.PNext), Win: 65535, Flags: packet.FlagACK}, nil)
	if n := mallocs(func() { g.feed(g.in, pure) }); n > 2 {
		t.Errorf("%d objects", n)
	}
}
