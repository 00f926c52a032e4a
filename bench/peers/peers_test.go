package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linecrypt/bench/cores"
	"linecrypt/bench/packetpath"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/port"
)

func TestMixIsTwoDataSegmentsToOneAcknowledgement(t *testing.T) {
	arena, err := mbuf.NewArena(1, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	m := mbuf.NewCache(arena).Alloc()
	for _, size := range []int{1, 64, 1380, packetpath.MaxSize} {
		data, acks, next := 0, 0, uint32(1)
		for i, b := range mix(size) {
			var p packet.Packet
			m.Reset()
			if !m.Append(b) || p.Parse(m) != packet.TCP || !p.VerifyIPv4() || !p.VerifyTCP() || !p.Opt.Has(packet.OptTimestamps) {
				t.Fatalf("size %d: packet %d is no good segment", size, i)
			}
			if p.Seq != next {
				t.Errorf("size %d: packet %d begins at %d, not %d", size, i, p.Seq, next)
			}
			next += uint32(p.PayloadLen)
			switch int(p.PayloadLen) {
			case 0:
				acks++
				if data != acks*dataPerAck {
					t.Errorf("size %d: acknowledgement %d comes behind %d segments", size, acks, data)
				}
			case size:
				data++
			default:
				t.Errorf("size %d: packet %d has %d bytes", size, i, p.PayloadLen)
			}
		}
		if acks != repeats {
			t.Errorf("size %d: %d acknowledgements", size, acks)
		}
	}
}

func TestCaptureHasThePacketsAsTheyAre(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.pcap")
	packets := [][]byte{{1, 2, 3}, {4}}
	if err := writeCapture(name, packets); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	if len(b) < 24 || le.Uint32(b) != 0xa1b2c3d4 || le.Uint32(b[20:]) != 1 {
		t.Fatalf("header %x", b)
	}
	b = b[24:]
	for _, p := range packets {
		if n := int(le.Uint32(b[8:])); n != len(p) || int(le.Uint32(b[12:])) != n || !bytes.Equal(b[16:16+n], p) {
			t.Errorf("%x, want %x", b, p)
		}
		b = b[16+len(p):]
	}
	if len(b) != 0 {
		t.Errorf("%d bytes too many", len(b))
	}
}

func testpmdReport(rx, tx string) string {
	return "\n  ######## NIC statistics for port 0  ########\n  RX-packets: 5 RX-missed: 0\n\n  Throughput (since last show)\n" +
		"  Rx-pps:     " + rx + "          Rx-bps:  19627563808\n  Tx-pps:            0          Tx-bps:            0\n" +
		"  ######## NIC statistics for port 1  ########\n  Rx-pps:            0          Rx-bps:            0\n  Tx-pps:     " + tx + "          Tx-bps:            0\n"
}

func TestTestpmdsOutputIsRead(t *testing.T) {
	for _, tt := range []struct {
		name, out string
		want      float64
	}{
		{"median without the first", testpmdReport("1", "1000") + testpmdReport("9", "5000") + testpmdReport("9", "9000") + testpmdReport("9", "6000"), 6000},
		{"nothing forwarded at first", testpmdReport("0", "0") + testpmdReport("7", "70") + testpmdReport("7", "80"), 80},
		{"one report", testpmdReport("7", "70"), 0},
		{"nothing forwarded", testpmdReport("7", "0") + testpmdReport("7", "0"), 0},
		{"another program", "Hello\n", 0},
		{"nothing", "", 0},
	} {
		got, err := parseTestpmd(tt.out)
		if got != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

func secgwReport(sent, dropped int) string {
	return fmt.Sprintf("\x1b[2J\x1b[1;1H\nCore statistics ====\nStatistics for core 1 ------------------------------\nPackets received: %20d\n"+
		"Packets sent: %24d\nPackets dropped: %21d\nAggregate statistics ===============================\nTotal packets received: %14d\n"+
		"Total packets sent: %18d\nTotal packets dropped: %15d\nTotal frag packets dropped: %10d\n====\n", sent, sent, dropped, sent, sent, dropped, 0)
}

func TestSecgwsOutputIsRead(t *testing.T) {
	for _, tt := range []struct {
		name, out string
		want      float64
	}{
		{"mean from the first on", "EAL: up\n" + secgwReport(0, 0) + secgwReport(100, 0) + secgwReport(1100, 0) + secgwReport(2300, 0), 1100},
		{"packets were dropped", secgwReport(100, 0) + secgwReport(1100, 3), 0},
		{"one report", secgwReport(100, 0), 0},
		{"it stands", secgwReport(100, 0) + secgwReport(100, 0), 0},
		{"too large a number", secgwReport(1, 0) + "Total packets sent: " + strings.Repeat("9", 400) + "\n", 0},
		{"nothing", "", 0},
	} {
		got, err := parseSecgw(tt.out)
		if got != tt.want || (err == nil) != (tt.want > 0) {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
}

func TestProgramThatFailsIsReportedWithItsLastLines(t *testing.T) {
	_, _, err := period(context.Background(), time.Second, "/bin/sh", "-c", "echo first; echo no such device >&2; exit 3")
	if err == nil || !strings.Contains(err.Error(), "no such device") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
	if _, _, err := period(context.Background(), time.Second, "/bin/sh", "-c", "exit 0"); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Errorf("error %v", err)
	}
}

func TestAEADIsMeasuredByItself(t *testing.T) {
	core, _, err := cores.Choose()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []packetpath.Case{packetpath.Seal, packetpath.Open} {
		for _, frames := range []int{port.Burst, 4 * port.Burst} {
			a, err := newAEAD(100, frames)
			if err != nil {
				t.Fatal(err)
			}
			defer a.wipe()
			if f, err := a.measure(c, core); err != nil || f.rate <= 0 {
				t.Errorf("%s, %d frames: %+v, %v", c, frames, f, err)
			}
		}
	}
}

func TestTimeOfAProcessIsRead(t *testing.T) {
	for stat, want := range map[string]time.Duration{
		"7 (a b) c) S 1 7 7 0 -1 4194304 94 0 0 0 150 25 0 0 20 0": 1750 * time.Millisecond,
		"7 (x) S 1 7": 0, "7 (x) S 1 7 7 0 -1 4194304 94 0 0 0 x 25 0": 0, "": 0,
	} {
		if got := parseTime(stat); got != want {
			t.Errorf("%q: %v, want %v", stat, got, want)
		}
	}
	if f, err := figureOf(3e6, 0.5); err != nil || f != (figure{6, 0.5}) {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := figureOf(3e6, 0); err == nil {
		t.Error("a figure is made of no time")
	}
}

func TestProgramThatHangsIsBoundedInTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, _, err := period(ctx, time.Hour, "/bin/sh", "-c", "trap '' INT; echo waiting; while :; do sleep 0.05; done")
	if err == nil || time.Since(start) > 10*time.Second {
		t.Errorf("error %v behind %v", err, time.Since(start))
	}
}

func TestMissingPeerIsSaidWithWhatToDo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv(secgwVariable, "")
	o := options{seconds: 2}
	found, err := findPeers()
	if err != nil {
		t.Fatal(err)
	}
	left := found.missing
	jobs, err := o.peerJobs(found, t.TempDir(), 64)
	if err != nil || len(jobs) != 0 || len(left) != 2 {
		t.Fatalf("%d jobs, %v, %v", len(jobs), left, err)
	}
	for i, want := range []string{"dpdk-dev", secgwVariable} {
		if !strings.Contains(left[i].Why, want) {
			t.Errorf("%s: %s", left[i].Name, left[i].Why)
		}
	}
	t.Setenv(secgwVariable, filepath.Join(t.TempDir(), "nothing"))
	if _, err := findPeers(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), secgwVariable) {
		t.Errorf("error %v", err)
	}
}

func TestJobThatFailedIsNotRunAgain(t *testing.T) {
	calls := 0
	j := &job{measure: func(context.Context) (figure, error) {
		if calls++; calls == 2 {
			return figure{}, errors.New("broken")
		}
		return figure{2, 0.9}, nil
	}}
	for range 4 {
		j.run(context.Background())
	}
	if calls != 2 || len(j.rates) != 1 || j.failed == nil || j.core != 0.9 {
		t.Errorf("%d calls: %+v", calls, j)
	}
}

func TestReportHasTheRatios(t *testing.T) {
	one := func(name string, c packetpath.Case, flows, size int, rates ...float64) *job {
		return &job{what: what{name, c, flows, size}, rates: rates, core: 1}
	}
	broken := one(testpmdName, "forward", 1, 64)
	broken.failed = errors.New("no such device")
	r := newReport("machine", 3, []*job{
		one(linecrypt, packetpath.Seal, 1, 64, 3, 1, 2), one(warm, packetpath.Seal, 1, 64, 4), one(secgwName, packetpath.Seal, 1, 64, 8, 4, 4),
		one(linecrypt, packetpath.Seal, 1000, 64, 1.5, 1.5, 1.5), one(aeadName, packetpath.Seal, aeadKeys, 64, 10, 20, 1), broken,
	}, []missing{{"x", "not there"}})
	// the median of 3/8, 1/4 and 2/4; of warm there is one
	want := map[string]float64{"linecrypt / ipsec-secgw": 0.375, "linecrypt-warm / ipsec-secgw": 0.5, "1000 flows / 1 flow": 0.75, "segments of 1000 flows / operations of cryptobatch": 0.1}
	for _, x := range r.Ratios {
		if math.Abs(want[x.Name]-x.Value) > 1e-9 {
			t.Errorf("%s is %v", x.Name, x.Value)
		}
		delete(want, x.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	var text, object bytes.Buffer
	if err := errors.Join(r.writeText(&text), r.writeJSON(&object)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"linecrypt / ipsec-secgw", "0.38  0.25    0.50", "500.0", "left out: x: not there", "no such device"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in:\n%s", want, text.String())
		}
	}
	var back report
	if err := json.Unmarshal(object.Bytes(), &back); err != nil || len(back.Rows) != 6 || back.Rows[0].Mpps != 2 || back.Rows[0].NsPacket != 500 || back.Rows[5].Failed == "" {
		t.Errorf("%+v, %v", back, err)
	}
}
