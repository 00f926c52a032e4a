package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"linecrypt/bench/turns"
)

const testpmdProgram = "dpdk-testpmd"

// findTestpmd says what is missing where the program is not there.
func findTestpmd() error {
	if _, err := exec.LookPath(testpmdProgram); err != nil {
		return fmt.Errorf("the program %s is not installed (Debian package dpdk-dev)", testpmdProgram)
	}
	return nil
}

// testpmd measures dpdk-testpmd, which forwards from source to sink on one core. Its console sleeps on another one.
func testpmd(ctx context.Context, core, beside int, capture string, d time.Duration) (figure, error) {
	args := append(ealMemory(), fmt.Sprintf("--lcores=0@%d,1@%d", beside, core), "--main-lcore=0")
	args = append(append(args, devices(capture)...), "--",
		"--forward-mode=io", "--auto-start", "--no-mlockall", "--nb-cores=1", "--total-num-mbufs=16384", "--stats-period=1")
	out, share, err := period(ctx, d, testpmdProgram, args...)
	if err != nil {
		return figure{}, err
	}
	rate, err := parseTestpmd(out)
	if err != nil {
		return figure{}, said(testpmdProgram, err, out)
	}
	return figureOf(rate, share)
}

var testpmdRate = regexp.MustCompile(`(?m)^\s*Tx-pps:\s*(\d+)`)

// parseTestpmd finds packets a second in the reports of each second: the median of those that the sink's port sent, without the first
// report, which has the start in it.
func parseTestpmd(out string) (float64, error) {
	var rates []float64
	for _, m := range testpmdRate.FindAllStringSubmatch(out, -1) {
		if n, err := strconv.ParseFloat(m[1], 64); err == nil && n > 0 {
			rates = append(rates, n)
		}
	}
	if len(rates) < 2 {
		return 0, errors.New("fewer than two reports of packets sent")
	}
	return turns.Median(rates[1:]), nil
}
