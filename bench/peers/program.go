package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"linecrypt/dataplane/hugepages"
)

// A peer's program starts within startTime, and ends within stopTime of being asked to.
const (
	startTime = 3 * time.Second
	stopTime  = 10 * time.Second
)

// peerMB is the memory of a peer in MiB.
const peerMB = 512

// period runs a program that goes on until it is told to end for the time given and what it needs to start, and returns what it
// printed, and how much of that time it had a core. A program that ends by itself, or does not end when told to, is an error, with the last lines it printed.
func period(ctx context.Context, d time.Duration, program string, args ...string) (out string, core float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTime+d+stopTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Start(); err != nil {
		return "", 0, err
	}
	started := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	timer := time.NewTimer(startTime + d)
	defer timer.Stop()
	select {
	case err := <-ended:
		if err == nil {
			err = errors.New("ended by itself")
		}
		return "", 0, said(program, err, text.String())
	case <-timer.C:
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		cancel()
	}
	// Its exit status says nothing about what it forwarded, unless it had to be killed.
	if err := <-ended; ctx.Err() != nil {
		return "", 0, said(program, fmt.Errorf("did not end when told to: %w", errors.Join(ctx.Err(), err)), text.String())
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return text.String(), min(used.Seconds()/time.Since(started).Seconds(), 1), nil
}

// said is an error of a program with the last lines that it printed.
func said(program string, err error, out string) error {
	return fmt.Errorf("%s: %w; its last lines: %s", program, err, lastLines(out, 4))
}

// lastLines returns the last n lines that are not empty, in one.
func lastLines(s string, n int) string {
	var lines []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "(none)"
	}
	return strings.Join(lines[max(len(lines)-n, 0):], " / ")
}

// ealMemory chooses huge pages where enough are free. In both cases EAL leaves no file behind.
func ealMemory() []string {
	mem := []string{"--no-pci", "--no-telemetry", "-m", strconv.Itoa(peerMB)}
	if s, err := hugepages.Read("/"); err == nil && s.FreeBytes() >= peerMB<<20 {
		return append(mem, "--in-memory")
	}
	return append(mem, "--no-huge", "--no-shconf")
}

// devices are a source that brings the packets of a capture file for ever, and a sink.
func devices(capture string) []string {
	return []string{"--vdev", "net_pcap0,rx_pcap=" + capture + ",infinite_rx=1", "--vdev", "net_null1,size=64,no-rx=1"}
}
