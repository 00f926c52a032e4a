package cli

import (
	"errors"
	"flag"
	"io"
)

// Bench defines a benchmark's flags and returns what runs it once they are parsed: results go to out, progress to progress.
type Bench func(flags *flag.FlagSet) func(out, progress io.Writer) error

var benchCryptoCommand = command{
	name:    "bench crypto",
	args:    "[--algo LIST] [--op LIST] [--size LIST] [--engine LIST] [--keys N] [--peers LIST] [--runs N] [--json]",
	summary: "measure the AEAD engines against DPDK's drivers and OpenSSL",
	details: "Measures how fast the engines seal and open bursts of 32 operations on one core, and how fast those peers do that are installed:\n" +
		"aesni_gcm and aesni_mb, which are DPDK's drivers of Intel's multi-buffer library under dpdk-test-crypto-perf, and openssl speed.\n" +
		"All are measured in turn. Progress goes to standard error. Lists are separated by commas. It takes up to six minutes.",
	define: func(a *App, fs *flag.FlagSet) func() error {
		if a.BenchCrypto == nil {
			return func() error { return errors.New("this program has no benchmarks") }
		}
		run := a.BenchCrypto(fs)
		return func() error { return run(a.Stdout, a.Stderr) }
	},
}
