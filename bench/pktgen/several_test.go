package pktgen

import (
	"bytes"
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"linecrypt/bench/cores"
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/ctrlplane/config/keyfile"
)

func allowed(t *testing.T) []int {
	t.Helper()
	all, err := cores.Allowed()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// severalRun checks a run of several workers: nothing is wrong, and each has its share.
func severalRun(t *testing.T, res *Result, workers int) {
	t.Helper()
	if len(res.Failures) > 0 || res.SegmentsMps <= 0 || res.Cores != workers || len(res.PerCore) != workers {
		t.Fatalf("%+v", res)
	}
	sum := 0.0
	for _, c := range res.PerCore {
		if sum += c.Mpps; c.Mpps <= 0 || c.CyclesPerPacket <= 0 || c.Busy <= 0 || c.Busy > 1 {
			t.Errorf("core %d of %.3f Mpps: %+v", c.Core, res.Mpps, c)
		}
	}
	if d := sum - res.Mpps; math.Abs(d) > 0.01*res.Mpps+0.0002 { // they are rounded
		t.Errorf("the cores do %.4f Mpps, all together %.4f", sum, res.Mpps)
	}
}

func TestSeveralWorkersTakeTurnsWithTheGenerator(t *testing.T) {
	if len(allowed(t)) < 2 {
		t.Skip("it takes two cores")
	}
	for _, tt := range [][2]string{{"own", "both"}, {"own", "churn"}, {"one", "both"}, {"one", "open-imix"}} {
		t.Run(tt[0]+" "+tt[1], func(t *testing.T) {
			severalRun(t, mustRun(t, short(t, tt[1], "cores.workers=2", "ports.queues="+tt[0], "traffic.flows=200", "time.duration=20ms")), 2)
		})
	}
}

// A machine of two cores has none for the generator: the three threads then share them, which costs time and nothing else.
func TestSeveralWorkersBesideTheGenerator(t *testing.T) {
	for _, queues := range []string{"own", "one"} {
		t.Run(queues, func(t *testing.T) {
			p, err := newPlan(short(t, "both", "cores.mode=turns", "traffic.flows=100", "time.duration=300ms"))
			if err != nil {
				t.Fatal(err)
			}
			p.sc.Cores = scenario.Cores{Workers: 2, Mode: scenario.ModeBeside}
			p.sc.Ports.Queues = scenario.Queues(queues)
			if p.cfg, err = gatewayConfig(p.sc); err != nil {
				t.Fatal(err)
			}
			p.set.mode, p.set.cores = string(scenario.ModeBeside), []int{-1, -1}
			d, err := p.driver()
			if err != nil {
				t.Fatal(err)
			}
			res, err := driveAll(context.Background(), p.sc, d, &live{})
			if err != nil {
				t.Fatal(err)
			}
			severalRun(t, res, 2)
		})
	}
}

func TestScalingComparesAllWorkersWithOne(t *testing.T) {
	if len(allowed(t)) < 2 {
		t.Skip("it takes two cores")
	}
	res := mustRun(t, short(t, "scaling-spread", "traffic.flows=50", "time.rounds=2"))
	if len(res.Failures) > 0 || res.Measure != "scaling" || len(res.Scaling) != 3 || res.Handover == nil || res.Handover.Median <= 0 {
		t.Fatalf("%+v", res)
	}
	for i, want := range []Scale{{Cores: 1, Queues: "one"}, {Cores: 2, Queues: "own"}, {Cores: 2, Queues: "one"}} {
		s := res.Scaling[i]
		if s.Cores != want.Cores || s.Queues != want.Queues || s.Mpps <= 0 || s.Ratio <= 0 || len(s.Runs) != 2 || len(s.Core) != s.Cores && s.Cores > 1 {
			t.Errorf("%+v", s)
		}
		if shared := s.Cores == 2 && s.Queues == "one"; shared != (s.OfOwn > 0) {
			t.Errorf("%+v", s)
		}
		if lower := min(s.Runs[0]/res.Scaling[0].Runs[0], s.Runs[1]/res.Scaling[0].Runs[1]); s.Ratio != round(lower, 3) || s.Quartiles[0] > s.Ratio {
			t.Errorf("%+v: the lower of two ratios is %.3f", s, lower)
		}
	}
	res = mustRun(t, short(t, "scaling-own", "traffic.flows=20", "time.rounds=1", "limits.scaling=50"))
	if len(res.Failures) != 1 || !strings.Contains(res.Failures[0], "limits.scaling: 2 cores do ") {
		t.Errorf("%v", res.Failures)
	}
}

func TestMoreWorkersThanCoresAreRefused(t *testing.T) {
	for _, tt := range []struct{ mode, want string }{
		{"turns", "cores.workers: 64 workers take as many cores, and this process may use "},
		{"beside", "cores.workers: 64 workers and the generator beside them take 65 cores, and this process may use "},
	} {
		_, err := newPlan(short(t, "both", "cores.workers=64", "cores.mode="+tt.mode))
		var e *keyfile.Error
		if len(allowed(t)) < 64 && (!errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "take fewer workers")) {
			t.Errorf("%s: got %v", tt.mode, err)
		}
	}
}

func TestAForwarderIsMeasuredAtTheSameRates(t *testing.T) {
	res := mustRun(t, short(t, "latency", "traffic.flows=50", "traffic.direction=both", "search.trial=10ms", "search.loss=50"))
	if len(res.Failures) > 0 || len(res.Loads) != 3 {
		t.Fatalf("%+v", res)
	}
	for _, l := range res.Loads {
		f, o := l.Forwarder, l.OverForwarder
		if f == nil || f.P50 <= 0 || o == nil || o.P50 != round(l.P50/f.P50, 2) || o.P99 != round(l.P99/f.P99, 2) {
			t.Fatalf("at %d %%: %+v, %+v", l.Percent, f, o)
		}
		if want := res.rate * float64(l.Percent) / 100 / 1e6; f.Mpps < 0.7*want || f.Mpps > 1.3*want {
			t.Errorf("at %d %%, which is %.3f Mpps: forwarder at %.3f", l.Percent, want, f.Mpps)
		}
	}
	var out bytes.Buffer
	if err := res.WriteText(&out); err != nil || strings.Count(out.String(), "io forwarder") != 3 || strings.Count(out.String(), "gateway / forwarder") != 3 {
		t.Errorf("%v: %s", err, out.String())
	}
	if res := mustRun(t, short(t, "latency", "traffic.flows=50", "search.forwarder=off", "search.loss=50")); len(res.Loads) != 3 || res.Loads[0].Forwarder != nil {
		t.Errorf("%+v", res.Loads)
	}
}

func TestAForwarderRunsBesideTheGeneratorToo(t *testing.T) {
	if len(allowed(t)) < 2 {
		t.Skip("it takes two cores")
	}
	for _, direction := range []string{"seal", "open", "both"} {
		p, err := newPlan(short(t, "latency", "traffic.flows=50", "cores.mode=beside", "traffic.direction="+direction, "time.duration=1s"))
		if err != nil {
			t.Fatal(err)
		}
		res := &Result{rate: 20_000, Loads: []Load{{Percent: 50, Latency: Latency{P50: 1, P99: 1}}}}
		if err := p.compareWithForwarder(context.Background(), res, &live{}); err != nil {
			t.Fatal(err)
		}
		if f := res.Loads[0].Forwarder; len(res.Failures) > 0 || f == nil || f.P50 <= 0 || f.Mpps <= 0 {
			t.Errorf("%s: %+v, %v", direction, f, res.Failures)
		}
	}
}
