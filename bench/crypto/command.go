package crypto

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"linecrypt/cryptobatch"
)

// Bounds of what may be asked for.
const (
	maxKeys = 1 << 22
	maxRuns = 1000
)

// Command defines the flags of `linecrypt bench crypto` and returns what runs it once they are parsed: results go to out,
// progress to progress. SIGINT and SIGTERM end the run.
func Command(flags *flag.FlagSet) func(out, progress io.Writer) error {
	o := Defaults()
	flags.Func("algo", "`LIST` of "+strings.Join(algorithmNames(), ", ")+" (default all)", pick(&o.Algorithms, algorithmNames(), nil))
	flags.Func("op", "`LIST` of seal, open (default both)", pick(&o.Ops, opNames(), nil))
	flags.Func("size", fmt.Sprintf("`LIST` of sizes in bytes, 1 to %d (default 64,256,512,1024,1460,4096,16384)", maxSize), pickSizes(&o.Sizes))
	engines := map[string][]string{cryptobatch.Auto: cryptobatch.Names()[:1]}
	flags.Func("engine", "`LIST` of auto, "+strings.Join(cryptobatch.Names(), ", ")+" (default all but auto)", pick(&o.Engines, cryptobatch.Names(), engines))
	flags.Func("keys", fmt.Sprintf("different keys that engines use in turn, `N` of 1 to %d (default 1)", maxKeys), pickNumber(&o.Keys, maxKeys))
	peers := map[string][]string{"on": peerNames(), "off": {}}
	flags.Func("peers", "on, off or a `LIST` of "+strings.Join(peerNames(), ", ")+" (default on)", pick(&o.Peers, peerNames(), peers))
	flags.Func("runs", fmt.Sprintf("`N` measurements of each, 1 to %d, of which the median is reported (default 5)", maxRuns), pickNumber(&o.Runs, maxRuns))
	asJSON := flags.Bool("json", false, "print one array of objects")
	return func(out, progress io.Writer) error {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		results, err := Run(ctx, o, progress)
		if err != nil {
			return err
		}
		if *asJSON {
			return WriteJSON(out, results)
		}
		return WriteText(out, results)
	}
}

// pick parses a list of the names allowed. A name in short stands for those that it maps to.
func pick(to *[]string, allowed []string, short map[string][]string) func(string) error {
	return func(list string) error {
		picked := []string{}
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			names, ok := short[name]
			if !ok && slices.Contains(allowed, name) {
				names, ok = []string{name}, true
			}
			if !ok {
				return fmt.Errorf("want a list of %s", strings.Join(append(shortNames(short), allowed...), ", "))
			}
			for _, n := range names {
				if !slices.Contains(picked, n) {
					picked = append(picked, n)
				}
			}
		}
		*to = picked
		return nil
	}
}

func shortNames(short map[string][]string) []string {
	var names []string
	for n := range short {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func pickSizes(to *[]int) func(string) error {
	return func(list string) error {
		var picked []int
		for text := range strings.SplitSeq(list, ",") {
			var n int
			if err := pickNumber(&n, maxSize)(strings.TrimSpace(text)); err != nil {
				return fmt.Errorf("want a list of sizes: %w", err)
			}
			if !slices.Contains(picked, n) {
				picked = append(picked, n)
			}
		}
		*to = picked
		return nil
	}
}

func pickNumber(to *int, most int) func(string) error {
	return func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > most {
			return fmt.Errorf("want a number of 1 to %d", most)
		}
		*to = n
		return nil
	}
}
