package pktgen

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"linecrypt/bench/pktgen/scenario"
)

// ErrFailed is wrapped by the error about limits that are not kept, or a comparison that came out worse.
var ErrFailed = errors.New("the scenario fails")

// ErrStopped is the error of a run that was stopped: what it printed is what it had.
var ErrStopped = errors.New("stopped before its end")

// Command defines the flags of `linecrypt bench run` and returns what runs it once they are parsed, with the scenario's name as the only
// argument: results go to out, progress to progress. SIGINT, SIGTERM and SIGHUP end the run, which then prints what it has.
func Command(flags *flag.FlagSet) func(args []string, out, progress io.Writer) error {
	asJSON := flags.Bool("json", false, "print one object")
	compare := flags.String("compare", "", "compare with the result of an earlier run that --json printed to `FILE`, and fail where it is worse")
	tolerance := flags.Float64("tolerance", 5, "`PERCENT` by which a figure may differ and be the same (default 5)")
	var sets []string
	flags.Func("set", "set a key of the scenario, as in `KEY=VALUE`; may be repeated", func(s string) error {
		if !strings.Contains(s, "=") {
			return errors.New("want KEY=VALUE")
		}
		sets = append(sets, s)
		return nil
	})
	return func(args []string, out, progress io.Writer) error {
		if !(*tolerance >= 0 && *tolerance <= 100) {
			return fmt.Errorf("--tolerance %g: want 0 to 100 percent", *tolerance)
		}
		sc, err := load(args, sets)
		if err != nil {
			return err
		}
		var baseline *Result
		if *compare != "" {
			if baseline, err = ReadResult(*compare); err != nil {
				return err
			}
			if baseline.Scenario != sc.Name || baseline.Measure != string(sc.Measure) {
				return fmt.Errorf("baseline %s is of %s (%s): %w", *compare, baseline.Scenario, baseline.Measure, errOther)
			}
		}
		ctx, stop := signal.NotifyContext(context.Background(), stops()...)
		defer stop()
		res, err := Run(ctx, sc, newLive(progress))
		if err != nil {
			return err
		}
		var versus *Comparison
		if baseline != nil {
			if versus, err = Compare(baseline, res, *tolerance/100); err != nil {
				return err
			}
			res.Verdict = versus.Verdict()
		}
		if err := write(res, versus, *asJSON, out, progress); err != nil {
			return err
		}
		return outcome(res, versus)
	}
}

// stops are the signals that end a run: also that of a terminal that goes away, unless nohup has it ignored.
func stops() []os.Signal {
	all := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// write prints the result, and the comparison where there is one: beside an object for programs it goes to progress.
func write(res *Result, versus *Comparison, asJSON bool, out, progress io.Writer) error {
	to := out
	var err error
	if asJSON {
		err, to = res.WriteJSON(out), progress
	} else {
		err = res.WriteText(out)
	}
	if err == nil && versus != nil {
		err = versus.WriteText(to)
	}
	return err
}

// outcome is the error about a run that does not pass.
func outcome(res *Result, versus *Comparison) error {
	switch {
	case len(res.Failures) > 0:
		return fmt.Errorf("%w: %s", ErrFailed, res.Failures[0])
	case res.Incomplete:
		return ErrStopped
	case versus != nil && versus.Worse():
		return fmt.Errorf("%w: it is worse than the baseline", ErrFailed)
	}
	return nil
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

// List defines the flags of `linecrypt bench list` and returns what runs it: it lists the bundled scenarios, or the keys of a file.
func List(flags *flag.FlagSet) func(out, progress io.Writer) error {
	keys := flags.Bool("keys", false, "list the keys of a scenario, with their defaults and what they mean")
	return func(out, _ io.Writer) error {
		if *keys {
			return scenario.WriteKeys(out)
		}
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
}
