// Command linecrypt runs and inspects a Linecrypt gateway. Its logic is in package cli of the control plane.
package main

import (
	"os"
	"path/filepath"

	"linecrypt/ctrlplane/cli"
	"linecrypt/dataplane/hugepages"
)

func main() {
	app := cli.App{
		Stdout: os.Stdout,
		Stderr: os.Stderr,
		Hugepages: cli.Hugepages{
			Read:  func() (cli.Pages, error) { return pages(hugepages.Read("/")) },
			Setup: func(n int) (cli.Pages, error) { return pages(hugepages.Setup(n)) },
		},
	}
	if path, err := os.Executable(); err == nil {
		app.BinDir = filepath.Dir(path)
	}
	os.Exit(app.Main(os.Args[1:]))
}

func pages(s hugepages.State, err error) (cli.Pages, error) {
	return cli.Pages{PageBytes: s.PageBytes, Total: s.Total, Free: s.Free, Mounts: s.Mounts}, err
}
