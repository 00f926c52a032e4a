package pktgen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linecrypt/bench/cores"
	"linecrypt/bench/pktgen/ends"
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/ctrlplane/config/keyfile"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port/portspec"
)

// short makes a scenario one of some milliseconds over memory.
func short(t *testing.T, name string, more ...string) *scenario.Scenario {
	t.Helper()
	sets := append([]string{
		"ports.kind=memory", "time.warmup=1ms", "time.duration=5ms", "search.trial=2ms", "search.resolution=20", "limits.allocs=-1", "limits.gc_cycles=-1",
	}, more...)
	sc, err := load([]string{name}, sets)
	if err != nil {
		t.Fatal(err)
	}
	return sc
}

func mustRun(t *testing.T, sc *scenario.Scenario) *Result {
	t.Helper()
	res, err := Run(context.Background(), sc, &live{})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestEveryBundledScenarioRuns(t *testing.T) {
	for _, name := range scenario.Names() {
		t.Run(name, func(t *testing.T) {
			more := []string{}
			if strings.HasPrefix(name, "flows-") || name == "churn" {
				more = append(more, "traffic.flows=200")
			}
			if name == "handshake-storm" {
				more = append(more, "traffic.flows=20", "time.duration=2ms")
			}
			if name == "soak-60s" {
				if len(allowed(t)) < 2 {
					t.Skip("it takes two cores")
				}
				more = append(more, "traffic.flows=50", "limits.allocs_total=-1", "time.duration=1s")
			}
			if strings.HasPrefix(name, "scaling-") {
				if len(allowed(t)) < 2 {
					t.Skip("it takes two cores")
				}
				more = append(more, "traffic.flows=100", "time.rounds=1")
			}
			sc := short(t, name, more...)
			res := mustRun(t, sc)
			if res.Wrong > 0 || res.Loss > 0 || res.Mpps <= 0 || res.Incomplete {
				t.Errorf("%+v", res)
			}
			switch {
			case sc.Measure == scenario.Handshakes:
				if res.Opened == 0 || res.HandshakesPerSecond == 0 {
					t.Errorf("no handshake: %+v", res)
				}
			case res.SegmentsMps <= 0 || res.GoodputGbps <= 0:
				t.Errorf("no data: %+v", res)
			}
			d := &sc.Disturb
			if d.Loss > 0 && res.LostOnWay == 0 || d.Corrupt > 0 && (res.Damaged == 0 || res.Drops["drop_ingress_auth"] == 0) ||
				d.SynFlood+d.SynENOFlood > 0 && res.Forged == 0 {
				t.Errorf("nothing was disturbed: %+v", res)
			}
			if sc.Measure == scenario.Latency && len(res.Loads) != 3 {
				t.Errorf("%d loads", len(res.Loads))
			}
		})
	}
}

func TestHostsMayOpenToo(t *testing.T) {
	for _, keys := range []string{"agreed", "shared"} {
		for _, aead := range []string{"AES_128_GCM", "AES_256_GCM", "CHACHA20_POLY1305"} {
			res := mustRun(t, short(t, "both", "traffic.opener=host", "traffic.flows=20", "traffic.plain=20", "traffic.keys="+keys, "traffic.aead="+aead))
			if len(res.Failures) > 0 || res.SegmentsMps <= 0 {
				t.Errorf("keys %s, %s: %v", keys, aead, res.Failures)
			}
		}
	}
}

// pause is a wire whose user is held up once, for longer than anybody waits before a step of a handshake is repeated.
type pause struct {
	ends.Wire
	at   int // packets of all wires
	seen *int
}

func (w *pause) Send(ms []*mbuf.Mbuf, at []int64) int {
	n := w.Wire.Send(ms, at)
	if *w.seen < w.at && *w.seen+n >= w.at {
		time.Sleep(1200 * time.Millisecond)
	}
	*w.seen += n
	return n
}

func TestStepsOfHandshakesThatComeTwiceHarmNoConnection(t *testing.T) {
	for _, tt := range []struct {
		opener string
		at     int
	}{{"far", 500}, {"far", 1500}, {"far", 2500}, {"host", 500}, {"host", 1500}} {
		sc := short(t, "both", "traffic.flows=1000", "traffic.opener="+tt.opener)
		p, err := newPlan(sc)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		p.tap = func(w ends.Wire) ends.Wire { return &pause{w, tt.at, &seen} }
		d, err := p.driver()
		if err != nil {
			t.Fatal(err)
		}
		res, err := driveAll(context.Background(), sc, d, &live{})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Failures) > 0 || res.SegmentsMps <= 0 {
			t.Errorf("opened by %s, a pause at packet %d: %v", tt.opener, tt.at, res.Failures)
		}
	}
}

func TestFarEndsFollowAndBeginGenerationsOfKeys(t *testing.T) {
	for _, more := range [][]string{
		{"traffic.direction=seal"},
		{"traffic.direction=open"},
		{"rekey.far=0"},
		{"rekey.gateway=0"},
		{"traffic.keys=shared", "traffic.plain=20", "traffic.opener=host", "traffic.aead=CHACHA20_POLY1305"},
		{"disturb.churn=5000"},
		{"disturb.loss=2", "disturb.reorder=2", "disturb.corrupt=1", "traffic.window=64", "traffic.patience=20ms", "time.duration=50ms"},
	} {
		sc := short(t, "rekey", append([]string{"traffic.flows=10", "rekey.gateway=16", "rekey.far=12"}, more...)...)
		res := mustRun(t, sc)
		if len(res.Failures) > 0 || res.Rekeyed < 20 {
			t.Errorf("%v: %d generations of keys, %v", more, res.Rekeyed, res.Failures)
		}
		if d := res.Drops["drop_ingress_auth"] + res.Drops["drop_ingress_malformed"]; d > 0 && sc.Disturb.Corrupt == 0 {
			t.Errorf("%v: the gateway cannot open %d frames", more, d)
		}
	}
}

func TestConnectionsAreClosedInOrderAndOpenedAnew(t *testing.T) {
	for _, opener := range []string{"far", "host"} {
		res := mustRun(t, short(t, "churn", "traffic.flows=50", "traffic.plain=20", "disturb.churn=20000", "time.duration=20ms", "traffic.opener="+opener))
		if len(res.Failures) > 0 || res.Closed == 0 || res.Opened == 0 {
			t.Errorf("opened by %s: %d closed, %d opened, %v", opener, res.Closed, res.Opened, res.Failures)
		}
	}
}

// tap changes a byte of every hundredth large packet that comes out of the gateway.
type tap struct {
	ends.Wire
	seen int
}

func (w *tap) Receive(ms []*mbuf.Mbuf, at []int64) int {
	n := w.Wire.Receive(ms, at)
	for _, m := range ms[:n] {
		if m.DataLen < 200 {
			continue
		}
		if w.seen++; w.seen%100 == 0 {
			m.Data()[150] ^= 1
		}
	}
	return n
}

func TestAWrongByteOutOfTheGatewayMakesTheRunFail(t *testing.T) {
	for _, tt := range []struct{ scenario, want string }{{"seal-512", "tag: auth-failed"}, {"open-512", "is wrong"}, {"mixed", "wrong"}} {
		sc := short(t, tt.scenario, "traffic.flows=20")
		p, err := newPlan(sc)
		if err != nil {
			t.Fatal(err)
		}
		p.tap = func(w ends.Wire) ends.Wire { return &tap{Wire: w} }
		d, err := p.driver()
		if err != nil {
			t.Fatal(err)
		}
		res, err := driveAll(context.Background(), sc, d, &live{})
		if err != nil {
			t.Fatal(err)
		}
		if res.Wrong == 0 || !strings.Contains(strings.Join(res.Failures, "\n"), tt.want) || outcome(res, nil) == nil {
			t.Errorf("%s passes: %v", tt.scenario, res.Failures)
		}
	}
}

func TestAnInterruptedRunPrintsWhatItHas(t *testing.T) {
	for _, tt := range []struct {
		name  string
		more  []string
		data  bool
		after time.Duration
	}{
		{"seal-512", []string{"time.duration=10m", "traffic.flows=20"}, true, 2 * time.Second},
		{"flows-1m", []string{"traffic.flows=300000"}, false, 300 * time.Millisecond}, // while connections are opened
	} {
		ctx, cancel := context.WithTimeout(context.Background(), tt.after)
		begun := time.Now()
		res, err := Run(ctx, short(t, tt.name, tt.more...), &live{})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s ends after %v", tt.name, took)
		}
		if !res.Incomplete || tt.data && res.Mpps <= 0 || !errors.Is(outcome(res, nil), ErrStopped) {
			t.Errorf("%s: %+v", tt.name, res)
		}
		var out bytes.Buffer
		if err := res.WriteText(&out); err != nil || !strings.Contains(out.String(), "stopped before its end") {
			t.Errorf("%v: %s", err, out.String())
		}
	}
}

func TestARunLeavesNothingBehind(t *testing.T) {
	before, _ := filepath.Glob(filepath.Join(segmentFolder(), "linecrypt-bench-*"))
	mustRun(t, short(t, "both", "traffic.flows=20"))
	after, _ := filepath.Glob(filepath.Join(segmentFolder(), "linecrypt-bench-*"))
	if len(after) > len(before) {
		t.Errorf("%v", after)
	}
}

func TestWhatCannotRunIsRefusedWithWhatToChange(t *testing.T) {
	type refusal struct {
		name string
		sets []string
		want string
	}
	tests := []refusal{
		{"no such port", []string{"ports.kind=device", "ports.inside=packet:nosuch0", "ports.outside=packet:nosuch1"}, "command line: ports.inside: "},
		{"no port at all", []string{"ports.kind=device", "ports.inside=a b", "ports.outside=c"}, "command line: ports.inside: "},
	}
	if !portspec.HasDPDK {
		tests = append(tests, refusal{"no DPDK", []string{"ports.kind=rings"}, "command line: ports.kind: rings: this binary was built without DPDK"})
	}
	if allowed, err := cores.Allowed(); err == nil && len(allowed) == 1 {
		tests = append(tests, refusal{"one core", []string{"cores.mode=beside"}, "command line: cores.mode: beside takes two cores"})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sc, err := load([]string{"seal-64"}, tt.sets)
			if err != nil {
				t.Fatal(err)
			}
			p, err := newPlan(sc)
			if err == nil {
				_, err = p.driver()
			}
			var e *keyfile.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestMoreConnectionsThanMemoryAreRefused(t *testing.T) {
	sc := short(t, "flows-1m")
	cfg, err := gatewayConfig(sc)
	if err != nil {
		t.Fatal(err)
	}
	n := needOf(sc, cfg)
	if n.total() < 1<<30 || n.total() > 16<<30 {
		t.Errorf("a million connections take %s", mib(n.total()))
	}
	if err := n.fits(sc, n.total(), "/dev/shm", n.segment); err != nil {
		t.Errorf("what fits is refused: %v", err)
	}
	for _, tt := range []struct {
		free, room int
		want       string
	}{{n.total() - 1, n.segment, "are available: take fewer"}, {n.total(), n.segment - 1, "mount -o remount,size="}} {
		if err := n.fits(sc, tt.free, "/dev/shm", tt.room); err == nil || !strings.Contains(err.Error(), "traffic.flows: ") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

func TestAsManyConnectionsAsThereMayBeAreOnlyRefusedForMemory(t *testing.T) {
	if _, err := gatewayConfig(short(t, "seal-64", "traffic.flows=4194304")); err != nil {
		t.Error(err)
	}
}

func TestWorkerAndGeneratorBesideEachOther(t *testing.T) {
	allowed, err := cores.Allowed()
	if err != nil || len(allowed) < 2 {
		t.Skip("it takes two cores")
	}
	res := mustRun(t, short(t, "both", "cores.mode=beside", "traffic.flows=20", "time.duration=50ms"))
	if res.Wrong > 0 || res.Loss > 0 || res.Mode != "beside" {
		t.Errorf("%+v", res)
	}
}

func runCommand(t *testing.T, args ...string) (string, error) {
	t.Helper()
	fs := flag.NewFlagSet("bench run", flag.ContinueOnError)
	run := Command(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	var out, progress bytes.Buffer
	err := run(fs.Args(), &out, &progress)
	return out.String() + progress.String(), err
}

func TestTheObjectOfJSONHasTheFieldsThatAreDocumentedAndTheyAgree(t *testing.T) {
	args := []string{"--json"}
	for _, set := range []string{"ports.kind=memory", "time.duration=10ms", "time.warmup=1ms", "search.trial=2ms", "search.resolution=20", "search.loss=50", "search.loads=50", "traffic.flows=50"} {
		args = append(args, "--set", set)
	}
	out, _ := runCommand(t, append(args, "latency")...)
	var got map[string]any
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	number := func(name string) float64 {
		n, ok := got[name].(float64)
		if !ok {
			t.Errorf("%s is %v", name, got[name])
		}
		return n
	}
	object := func(name string, fields ...string) map[string]any {
		o, ok := got[name].(map[string]any)
		for _, f := range fields {
			if _, is := o[f].(float64); !is {
				t.Errorf("%s has no number %s: %v", name, f, got[name])
			}
		}
		if !ok {
			t.Errorf("%s is %v", name, got[name])
		}
		return o
	}
	if got["scenario"] != "latency" || number("cores") != 1 || number("flows") != 50 || number("size") != 512 || number("loss") != 0 {
		t.Errorf("%s", out)
	}
	number("allocs")
	number("gc_cycles")
	object("drops")
	stages := []string{"all", "other"}
	for st := range shm.NumStages {
		stages = append(stages, st.String())
	}
	object("cycles_per_packet", stages...)
	l := object("latency_us", "p50", "p99", "p999")
	if p50, p99, p999 := l["p50"].(float64), l["p99"].(float64), l["p999"].(float64); p50 <= 0 || p50 > p99 || p99 > p999 {
		t.Errorf("latency %v", l)
	}
	seg, good, wire, mpps := number("segments_mps"), number("goodput_gbps"), number("wire_gbps"), number("mpps")
	if want := seg * 512 * 8 / 1000; good < 0.99*want-0.01 || good > 1.01*want+0.01 || wire <= good || mpps <= seg {
		t.Errorf("%.4f Mpps, %.4f million segments a second of 512 bytes are %.4f Gbit/s, on the wire %.4f", mpps, seg, good, wire)
	}
}

func TestAComparisonWithABetterRunFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "base.json")
	base := Result{Scenario: "seal-64", Measure: "throughput", Mode: "turns", Mpps: 1e6}
	var b bytes.Buffer
	if err := errors.Join(base.WriteJSON(&b), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	args := []string{"--set", "ports.kind=memory", "--set", "time.duration=5ms", "--set", "time.warmup=1ms", "--set", "limits.allocs=-1", "--compare", path}
	out, err := runCommand(t, append(args, "seal-64")...)
	if !errors.Is(err, ErrFailed) || !strings.Contains(out, "worse") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := runCommand(t, append(args, "open-64")...); !errors.Is(err, errOther) {
		t.Errorf("another scenario's result is compared: %v", err)
	}
}
