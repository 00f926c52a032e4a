package pktgen

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func result(change func(*Result)) *Result {
	r := &Result{
		Scenario: "s", Measure: "latency", Mpps: 2, GoodputGbps: 10, CyclesPerPacket: map[string]float64{"all": 1000},
		Loads: []Load{{Percent: 50, Latency: Latency{P50: 10, P99: 20}}},
	}
	if change != nil {
		change(r)
	}
	return r
}

func TestVerdicts(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Result)
		want   string
	}{
		{"nothing", nil, "same"},
		{"within the tolerance", func(r *Result) { r.Mpps = 1.92 }, "same"},
		{"fewer packets", func(r *Result) { r.Mpps = 1.8 }, "worse"},
		{"more packets", func(r *Result) { r.Mpps = 2.2 }, "better"},
		{"fewer cycles", func(r *Result) { r.CyclesPerPacket["all"] = 900 }, "better"},
		{"more cycles", func(r *Result) { r.CyclesPerPacket["all"] = 1100 }, "worse"},
		{"loss", func(r *Result) { r.Loss = 0.001 }, "worse"},
		{"allocations", func(r *Result) { r.Allocs = 1 }, "worse"},
		{"the runtime's own allocations", func(r *Result) { r.Allocs = 0.0005 }, "same"},
		{"later", func(r *Result) { r.Loads[0].P99 = 30 }, "worse"},
		{"sooner", func(r *Result) { r.Loads[0].P50 = 5 }, "better"},
		{"one better, one worse", func(r *Result) { r.Mpps, r.Loads[0].P99 = 3, 40 }, "worse"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Compare(result(nil), result(tt.change), 0.05)
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Verdict(); got != tt.want || c.Worse() != (tt.want == "worse") {
				t.Errorf("%s, not %s", got, tt.want)
			}
		})
	}
}

func TestOtherConditionsAreTold(t *testing.T) {
	c, err := Compare(result(nil), result(func(r *Result) { r.Engine = "generic" }), 0.05)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := c.WriteText(&out); err != nil || !strings.Contains(out.String(), "conditions differ") {
		t.Errorf("%v: %s", err, out.String())
	}
	if _, err := Compare(result(nil), result(func(r *Result) { r.Scenario = "other" }), 0.05); !errors.Is(err, errOther) {
		t.Errorf("got %v", err)
	}
}

func TestABaselineThatIsNoneIsRefused(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"text": "hello", "list": "[]", "empty": "{}", "nothing": ""} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadResult(path); err == nil || !strings.Contains(err.Error(), "not a result of") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadResult(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that does not exist is read")
	}
}

func TestABaselineThatSaysNothingIsRefused(t *testing.T) {
	dir := t.TempDir()
	for name, tt := range map[string]struct{ text, want string }{
		"stopped": {`{"scenario":"s","measure":"throughput","incomplete":true}`, "stopped before its end"},
		"wrong":   {`{"scenario":"s","measure":"throughput","wrong":5}`, "not what they should be"},
		"two":     {`{"scenario":"s","measure":"throughput"}{"scenario":"s","measure":"throughput"}`, "more in it than one result"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadResult(path); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestScalingAndCoresAreCompared(t *testing.T) {
	scale := func(ratio float64, cores int) *Result {
		return result(func(r *Result) {
			r.Cores, r.Scaling = cores, []Scale{{Cores: 1, Queues: "own", Ratio: 1}, {Cores: 2, Queues: "own", Ratio: ratio}}
		})
	}
	c, err := Compare(scale(1.8, 2), scale(1.2, 2), 0.05)
	if err != nil || c.Verdict() != "worse" {
		t.Errorf("%v, %v", c, err)
	}
	if c, err = Compare(scale(1.8, 2), scale(1.8, 3), 0.05); err != nil || len(c.differs) != 1 {
		t.Errorf("%v, %v", c.differs, err)
	}
}
