// Command linecrypt runs and inspects a Linecrypt gateway. Its logic is in package cli of the control plane.
package main

import (
	"io"
	"os"
	"path/filepath"

	"linecrypt/bench/crypto"
	"linecrypt/bench/pktgen"
	"linecrypt/ctrlplane/cli"
	"linecrypt/dataplane/hugepages"
)

func main() {
	app := newApp(os.Stdout, os.Stderr)
	if path, err := os.Executable(); err == nil {
		app.BinDir = filepath.Dir(path)
	}
	os.Exit(app.Main(os.Args[1:]))
}

func newApp(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Stdout: stdout,
		Stderr: stderr,
		Hugepages: cli.Hugepages{
			Read:  func() (cli.Pages, error) { return pages(hugepages.Read("/")) },
			Setup: func(n int) (cli.Pages, error) { return pages(hugepages.Setup(n)) },
		},
		BenchCrypto: crypto.Command,
		Scenarios:   cli.Scenarios{Run: pktgen.Command, List: pktgen.List},
	}
}

func pages(s hugepages.State, err error) (cli.Pages, error) {
	return cli.Pages{PageBytes: s.PageBytes, Total: s.Total, Free: s.Free, Mounts: s.Mounts}, err
}
