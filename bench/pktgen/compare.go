package pktgen

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"text/tabwriter"
)

// maxBaseline bounds the file of an earlier result in bytes.
const maxBaseline = 1 << 20

// ReadResult reads a result that --json printed.
func ReadResult(path string) (*Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("baseline: %w", err)
	}
	defer f.Close()
	dec := json.NewDecoder(io.LimitReader(f, maxBaseline))
	r := new(Result)
	if err := dec.Decode(r); err != nil {
		return nil, fmt.Errorf("baseline %s: not a result of `linecrypt bench run --json`: %w", path, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("baseline %s: there is more in it than one result", path)
	}
	switch {
	case r.Scenario == "" || r.Measure == "":
		return nil, fmt.Errorf("baseline %s: not a result of `linecrypt bench run --json`", path)
	case r.Incomplete:
		return nil, fmt.Errorf("baseline %s: that run was stopped before its end: measure it anew", path)
	case r.Wrong > 0:
		return nil, fmt.Errorf("baseline %s: %d packets of that run were not what they should be: measure it anew", path, r.Wrong)
	}
	return r, nil
}

// verdict is how a figure compares.
type verdict string

const (
	better verdict = "better"
	same   verdict = "same"
	worse  verdict = "worse"
)

// comparison is a figure of two runs.
type comparison struct {
	name      string
	was, is   float64
	moreGood  bool    // more is better
	tolerance float64 // a share, of the baseline
	floor     float64 // what is as good as nothing: differences below it are none
}

func (c *comparison) verdict() verdict {
	d := c.is - c.was
	if math.Abs(d) <= c.tolerance*math.Abs(c.was) || math.Abs(d) <= c.floor {
		return same
	}
	if (d > 0) == c.moreGood {
		return better
	}
	return worse
}

// Comparison is how a result compares with an earlier one.
type Comparison struct {
	figures []comparison
	differs []string // conditions that differ, so that the figures say little
}

// errOther is the error about results that cannot be compared.
var errOther = errors.New("not the same scenario")

// Compare compares a result with an earlier one of the same scenario. Tolerance is a share by which a figure may differ and be the same.
func Compare(was, is *Result, tolerance float64) (*Comparison, error) {
	if was.Scenario != is.Scenario || was.Measure != is.Measure {
		return nil, fmt.Errorf("compare %s (%s) with %s (%s): %w", is.Scenario, is.Measure, was.Scenario, was.Measure, errOther)
	}
	c := &Comparison{}
	for _, d := range []struct{ name, was, is string }{
		{"mode", was.Mode, is.Mode}, {"ports", was.Ports, is.Ports}, {"checksums", was.Checksums, is.Checksums}, {"engine", was.Engine, is.Engine},
		{"cores", fmt.Sprint(was.Cores), fmt.Sprint(is.Cores)},
		{"connections", fmt.Sprint(was.Flows), fmt.Sprint(is.Flows)}, {"size", fmt.Sprint(was.Size), fmt.Sprint(is.Size)},
	} {
		if d.was != d.is {
			c.differs = append(c.differs, fmt.Sprintf("%s %s, not %s", d.name, d.is, d.was))
		}
	}
	add := func(name string, was, is float64, moreGood bool, floor float64) {
		if was != 0 || is != 0 {
			c.figures = append(c.figures, comparison{name, was, is, moreGood, tolerance, floor})
		}
	}
	add("mpps", was.Mpps, is.Mpps, true, 0)
	add("goodput_gbps", was.GoodputGbps, is.GoodputGbps, true, 0)
	add("handshakes_per_second", was.HandshakesPerSecond, is.HandshakesPerSecond, true, 0)
	add("cycles_per_packet", was.CyclesPerPacket["all"], is.CyclesPerPacket["all"], false, 0)
	add("loss", was.Loss, is.Loss, false, 0)
	add("allocs", was.Allocs, is.Allocs, false, runtimeAllocs)
	for _, n := range is.Scaling {
		for _, w := range was.Scaling {
			if n.Cores > 1 && w.Cores == n.Cores && w.Queues == n.Queues {
				add(fmt.Sprintf("%d cores of one, queues %s", n.Cores, n.Queues), w.Ratio, n.Ratio, true, 0)
			}
		}
	}
	for i := range min(len(was.Loads), len(is.Loads)) {
		w, n := was.Loads[i], is.Loads[i]
		if w.Percent == n.Percent {
			add(fmt.Sprintf("latency p50 at %d %%", n.Percent), w.P50, n.P50, false, 0.5)
			add(fmt.Sprintf("latency p99 at %d %%", n.Percent), w.P99, n.P99, false, 2)
		}
	}
	return c, nil
}

// Verdict is the worst of all figures' where one is worse, else the best.
func (c *Comparison) Verdict() string {
	v := same
	for i := range c.figures {
		switch c.figures[i].verdict() {
		case worse:
			return string(worse)
		case better:
			v = better
		}
	}
	return string(v)
}

// Worse reports whether a figure is worse.
func (c *Comparison) Worse() bool { return c.Verdict() == string(worse) }

// WriteText writes the comparison as a table.
func (c *Comparison) WriteText(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "compared\tbefore\tnow\tnow / before\t\n")
	for i := range c.figures {
		f := &c.figures[i]
		ratio := "-"
		if f.was != 0 {
			ratio = fmt.Sprintf("%.3f", f.is/f.was)
		}
		fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%s\t%s\n", f.name, f.was, f.is, ratio, f.verdict())
	}
	for _, d := range c.differs {
		fmt.Fprintf(w, "conditions differ\t%s\t\t\t\n", d)
	}
	fmt.Fprintf(w, "verdict\t%s\t\t\t\n", c.Verdict())
	return w.Flush()
}
