package crypto

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// Result is what one engine or peer does with one algorithm, operation and size.
type Result struct {
	Engine        string  `json:"engine"`          // a peer is named after itself
	Algo          string  `json:"algo"`            // as in the configuration key aeads
	Op            string  `json:"op"`              // seal or open
	Size          int     `json:"size"`            // bytes of plaintext
	Burst         int     `json:"burst"`           // operations at a time
	Keys          int     `json:"keys"`            // keys in turn
	Mops          float64 `json:"mops"`            // million operations a second
	Gbps          float64 `json:"gbps"`            // of plaintext, 10^9 bits a second
	CyclesPerByte float64 `json:"cycles_per_byte"` // of the time-stamp counter
}

func newResult(name string, j job, burst, keys int, rate, tscRate float64) Result {
	return Result{
		Engine: name, Algo: j.alg.name, Op: j.op, Size: j.size, Burst: burst, Keys: keys,
		Mops:          round(rate/1e6, 4),
		Gbps:          round(rate*float64(j.size)*8/1e9, 3),
		CyclesPerByte: round(tscRate/(rate*float64(j.size)), 4),
	}
}

func round(x float64, digits int) float64 {
	scale := math.Pow10(digits)
	return math.Round(x*scale) / scale
}

// contender is the engine or peer, with the number of its keys if these are many.
func (r Result) contender() string {
	if r.Keys > 1 {
		return fmt.Sprintf("%s with %d keys", r.Engine, r.Keys)
	}
	return r.Engine
}

// WriteJSON writes the results as one array, a line for each.
func WriteJSON(w io.Writer, results []Result) error {
	var b strings.Builder
	b.WriteString("[")
	for i, r := range results {
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString("\n  ")
		b.Write(line)
	}
	b.WriteString("\n]\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteText writes the results for people, with the ratio to the faster of DPDK's drivers where one was measured.
func WriteText(w io.Writer, results []Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "algorithm\top\tsize\tburst\tkeys\tengine\tMops\tGbit/s\tcycles/byte\tof DPDK\t")
	for _, r := range results {
		ratio := "-"
		if best := fasterDriver(results, r); best > 0 && !isPeer(r.Engine) {
			ratio = fmt.Sprintf("%.2f", r.Mops/best)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%s\t%.3f\t%.2f\t%.3f\t%s\t\n",
			r.Algo, r.Op, r.Size, r.Burst, r.Keys, r.Engine, r.Mops, r.Gbps, r.CyclesPerByte, ratio)
	}
	return t.Flush()
}

func isPeer(name string) bool {
	return name == peerAESNIGCM || name == peerAESNIMB || name == peerOpenSSL
}

// fasterDriver returns what the faster of DPDK's drivers does with the job of a result, in million operations a second; 0
// where none was measured.
func fasterDriver(results []Result, like Result) float64 {
	best := 0.0
	for _, r := range results {
		if (r.Engine == peerAESNIGCM || r.Engine == peerAESNIMB) && r.Algo == like.Algo && r.Op == like.Op && r.Size == like.Size {
			best = max(best, r.Mops)
		}
	}
	return best
}
