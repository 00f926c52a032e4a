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
			return func() error { return errNoBench }
		}
		run := a.BenchCrypto(fs)
		return func() error { return run(a.Stdout, a.Stderr) }
	},
}

// Runner defines the flags of a benchmark that takes arguments, and returns what runs it once they are parsed.
type Runner func(flags *flag.FlagSet) func(args []string, out, progress io.Writer) error

// Scenarios are the scenarios of the packet generator.
type Scenarios struct {
	Run  Runner // `bench run`
	List Bench  // `bench list`
}

var benchRunCommand = command{
	name:    "bench run",
	args:    "[--set KEY=VALUE] [--json] [--compare FILE] [--tolerance PERCENT] SCENARIO",
	takes:   1,
	summary: "run a scenario of traffic through a gateway and measure it",
	details: "Runs a scenario: a file, or one that comes with the program, by its name (see bench list). Real tcpcrypt connections carry data through\n" +
		"a gateway's worker in this process, or, with ports.kind device, through a gateway elsewhere between two ports of this machine. Every tag\n" +
		"and every byte is checked. It ends with status 0 only if nothing was wrong and the scenario's limits are kept. Without a core to spare the\n" +
		"worker and the generator take turns, and only the worker's turns count.",
	define: func(a *App, fs *flag.FlagSet) func() error {
		if a.Scenarios.Run == nil {
			return func() error { return errNoBench }
		}
		run := a.Scenarios.Run(fs)
		return func() error { return run(fs.Args(), a.Stdout, a.Stderr) }
	},
}

var benchListCommand = command{
	name:    "bench list",
	args:    "[--keys]",
	summary: "list the scenarios that come with the program",
	details: "Lists the scenarios that bench run knows by name, with what each shows, or the keys that a file of one's own may set.",
	define: func(a *App, fs *flag.FlagSet) func() error {
		if a.Scenarios.List == nil {
			return func() error { return errNoBench }
		}
		list := a.Scenarios.List(fs)
		return func() error { return list(a.Stdout, a.Stderr) }
	},
}

var errNoBench = errors.New("this program has no benchmarks")
