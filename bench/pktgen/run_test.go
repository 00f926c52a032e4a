package pktgen

import (
	"context"
	"os"
	"testing"

	"linecrypt/bench/pktgen/scenario"
)

func TestTry(t *testing.T) {
	sc, err := load([]string{os.Getenv("SC")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = scenario.Names
	res, err := Run(context.Background(), sc, &live{})
	if err != nil {
		t.Fatal(err)
	}
	res.WriteText(os.Stdout)
}
