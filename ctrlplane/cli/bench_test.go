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
