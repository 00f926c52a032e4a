package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
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
// printed, and how much of the time behind its start it had a core. A program that ends by itself, or does not end when told to, is
// an error, with the last lines it printed.
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
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var started time.Time
	var startUsed time.Duration
	for _, wait := range []time.Duration{startTime, d} {
		started, startUsed = time.Now(), processTime(cmd.Process.Pid)
		select {
		case err := <-ended:
			if err == nil {
				err = errors.New("ended by itself")
			}
			return "", 0, said(program, err, text.String())
		case <-time.After(wait):
		}
	}
	used := processTime(cmd.Process.Pid) - startUsed
	core = min(used.Seconds()/time.Since(started).Seconds(), 1)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		cancel()
	}
	// Its exit status says nothing about what it forwarded, unless it had to be killed.
	if err := <-ended; ctx.Err() != nil {
		return "", 0, said(program, fmt.Errorf("did not end when told to: %w", errors.Join(ctx.Err(), err)), text.String())
	}
	return text.String(), core, nil
}

// processTime is the time that a process's threads have had together, 0 where the kernel does not say.
func processTime(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return parseTime(string(text))
}

// parseTime finds the time in user and in system mode in a process's line of state.
func parseTime(stat string) time.Duration {
	// The name in brackets may have spaces in it.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	const user, system = 11, 12
	if len(fields) <= system {
		return 0
	}
	u, err := strconv.ParseInt(fields[user], 10, 64)
	s, err2 := strconv.ParseInt(fields[system], 10, 64)
	if errors.Join(err, err2) != nil {
		return 0
	}
	const tick = 10 * time.Millisecond // of this file, on every machine that Go runs on
	return time.Duration(u+s) * tick
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
