package crypto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"linecrypt/bench/cores"
)

// Names of the peers.
const (
	peerAESNIGCM = "aesni_gcm"
	peerAESNIMB  = "aesni_mb"
	peerOpenSSL  = "openssl"
)

func peerNames() []string { return []string{peerAESNIGCM, peerAESNIMB, peerOpenSSL} }

// patience bounds one call of a peer's program.
const patience = 60 * time.Second

// newPeer makes the peer of a name and tries it out. The error says what is missing.
func newPeer(r *runner, name string) (contender, error) {
	var c contender
	switch name {
	case peerOpenSSL:
		if _, err := exec.LookPath(opensslProgram); err != nil {
			return nil, errors.New("the program openssl is not installed (Debian package openssl)")
		}
		return opensslSpeed{}, nil
	case peerAESNIGCM:
		c = &cryptoPerf{driver: name, algs: algorithms[:2]}
	default:
		c = &cryptoPerf{driver: name, algs: algorithms}
	}
	if _, err := exec.LookPath(perfProgram); err != nil {
		return nil, fmt.Errorf("the program %s is not installed (Debian package dpdk-dev)", perfProgram)
	}
	_, err := c.measure(r, job{algorithms[0], opSeal, defaultSizes[0]})
	return c, err
}

// output runs a peer's program and returns what it printed. Where pinTo is not negative the program has one thread and
// runs on that core. The error has the last line that it printed.
func output(ctx context.Context, pinTo int, program string, args ...string) (string, error) {
	text, err := runProgram(ctx, pinTo, program, args...)
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", program, err, lastLine(text))
	}
	return text, nil
}

// printed runs a program and returns what it printed, whatever its end.
func printed(ctx context.Context, program string, args ...string) string {
	text, _ := runProgram(ctx, -1, program, args...)
	return text
}

func runProgram(ctx context.Context, pinTo int, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return "", err
	}
	var pinned error
	if pinTo >= 0 {
		pinned = cores.PinProcess(cmd.Process.Pid, pinTo)
	}
	err := errors.Join(cmd.Wait(), pinned)
	return out.String(), err
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}
