package pktgen

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"linecrypt/bench/pktgen/scenario"
)

// ErrFailed is wrapped by the error about limits that are not kept, or a comparison that came out worse.
var ErrFailed = errors.New("the scenario fails")

// Command defines the flags of `linecrypt bench run` and returns what runs it once they are parsed, with the scenario's name as the only
// argument: results go to out, progress to progress. SIGINT and SIGTERM end the run, which then prints what it has.
func Command(flags *flag.FlagSet) func(args []string, out, progress io.Writer) error {
	asJSON := flags.Bool("json", false, "print one object")
	compare := flags.String("compare", "", "compare with the result of an earlier run that --json printed to `FILE`, and fail where it is worse")
	tolerance := flags.Float64("tolerance", 5, "`PERCENT` by which a figure may differ and be the same")
	var sets []string
	flags.Func("set", "set a key of the scenario, as in `KEY=VALUE`; may be repeated", func(s string) error {
		if !strings.Contains(s, "=") {
			return errors.New("want KEY=VALUE")
		}
		sets = append(sets, s)
		return nil
	})
	return func(args []string, out, progress io.Writer) error {
		sc, err := load(args, sets)
		if err != nil {
			return err
		}
		_, _ = compare, tolerance
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		res, err := Run(ctx, sc, newLive(progress))
		if err != nil {
			return err
		}
		if *asJSON {
			err = res.WriteJSON(out)
		} else {
			err = res.WriteText(out)
		}
		if err == nil && len(res.Failures) > 0 {
			err = fmt.Errorf("%w: %s", ErrFailed, res.Failures[0])
		}
		return err
	}
}

// load reads the scenario and applies what the command line sets.
func load(args, sets []string) (*scenario.Scenario, error) {
	if len(args) != 1 {
		return nil, errors.New("want one scenario: a file, or a name that `linecrypt bench list` lists")
	}
	sc, err := scenario.Load(args[0])
	if err != nil {
		return nil, err
	}
	for _, s := range sets {
		key, text, _ := strings.Cut(s, "=")
		if err := sc.Set("command line", key, text); err != nil {
			return nil, err
		}
	}
	return sc, sc.Check()
}

// List lists the bundled scenarios.
func List(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, name := range scenario.Names() {
		sc, err := scenario.Load(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\n", name, sc.Summary)
	}
	return w.Flush()
}
