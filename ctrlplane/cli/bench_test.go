package cli

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestBenchCryptoRunsWhatTheProgramBrings(t *testing.T) {
	var out, errs bytes.Buffer
	app := App{Stdout: &out, Stderr: &errs, BenchCrypto: func(fs *flag.FlagSet) func(out, progress io.Writer) error {
		runs := fs.Int("runs", 5, "`N` runs")
		return func(out, progress io.Writer) error {
			fmt.Fprintf(progress, "progress %d", *runs)
			fmt.Fprintf(out, "results %d", *runs)
			return nil
		}
	}}
	if status := app.Main([]string{"bench", "crypto", "--runs", "3"}); status != exitOK || out.String() != "results 3" || errs.String() != "progress 3" {
		t.Errorf("status %d, output %q, progress %q", status, out.String(), errs.String())
	}
}

func TestBenchCryptoSaysWhereAProgramHasNone(t *testing.T) {
	var out, errs bytes.Buffer
	app := App{Stdout: &out, Stderr: &errs}
	if status := app.Main([]string{"bench", "crypto"}); status != exitFailure || !strings.Contains(errs.String(), "no benchmarks") {
		t.Errorf("status %d: %s", status, errs.String())
	}
}

func TestBenchRunTakesItsArgumentBeforeAndBehindFlags(t *testing.T) {
	for _, args := range [][]string{{"--json", "seal-64"}, {"seal-64", "--json"}} {
		var out, errs bytes.Buffer
		app := App{Stdout: &out, Stderr: &errs, Scenarios: Scenarios{Run: func(fs *flag.FlagSet) func(args []string, out, progress io.Writer) error {
			asJSON := fs.Bool("json", false, "object")
			return func(args []string, out, _ io.Writer) error {
				fmt.Fprintf(out, "%v %v", args, *asJSON)
				return nil
			}
		}}}
		if status := app.Main(append([]string{"bench", "run"}, args...)); status != exitOK || out.String() != "[seal-64] true" {
			t.Errorf("status %d: %s%s", status, out.String(), errs.String())
		}
	}
}

func TestBenchCommandsThatMakeNoSense(t *testing.T) {
	none := func(*flag.FlagSet) func([]string, io.Writer, io.Writer) error {
		return func([]string, io.Writer, io.Writer) error { return nil }
	}
	list := func(*flag.FlagSet) func(io.Writer, io.Writer) error {
		return func(io.Writer, io.Writer) error { return nil }
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"bench"}, `want "bench crypto|run|list"`},
		{[]string{"bench", "rnu"}, "did you mean run?"},
		{[]string{"bench", "run"}, "an argument is missing"},
		{[]string{"bench", "run", "a", "b"}, `unexpected argument "b"`},
		{[]string{"bench", "run", "a", "--jsno"}, "unknown flag --jsno"},
		{[]string{"bench", "list", "a"}, `unexpected argument "a"`},
	} {
		var out, errs bytes.Buffer
		app := App{Stdout: &out, Stderr: &errs, Scenarios: Scenarios{Run: none, List: list}}
		if status := app.Main(tt.args); status != exitUsage || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%v: status %d: %s", tt.args, status, errs.String())
		}
	}
}
