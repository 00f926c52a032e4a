// Command report measures all engines and peers, writes a result file with the machine's description, and puts a document's
// table of AEAD figures in its place. `make bench-crypto` and `make bench-crypto-table` run it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"

	"linecrypt/bench/crypto"
)

func main() {
	file := flag.String("file", "", "result `FILE`")
	measure := flag.Bool("measure", false, "measure, and write the result file, which is read otherwise")
	command := flag.String("command", "", "`COMMAND` that this is part of, for the result file")
	document := flag.String("document", "", "`FILE` whose table to replace")
	flag.Parse()
	if err := run(*file, *measure, *command, *document); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(file string, measure bool, command, document string) error {
	if measure {
		if err := write(file, command); err != nil {
			return err
		}
	}
	record, err := crypto.ReadRecord(file)
	if err != nil || document == "" {
		return err
	}
	text, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	changed, err := record.Insert(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	return os.WriteFile(document, []byte(changed), 0o644)
}

func write(file, command string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := crypto.Defaults()
	results, err := crypto.Run(ctx, o, os.Stderr)
	if err != nil {
		return err
	}
	alone := o
	alone.Engines, alone.Peers, alone.Sizes, alone.ManyKeys = o.Engines[:1], nil, []int{64, 512, 1460}, []int{1000, 1000000}
	manyKeys, err := crypto.Run(ctx, alone, os.Stderr)
	if err != nil {
		return err
	}
	r := crypto.Record{
		Machine: crypto.ThisMachine(ctx), Command: command, Date: time.Now().UTC().Format(time.DateOnly), Runs: o.Runs, Results: results, ManyKeys: manyKeys,
	}
	return r.Write(file)
}
