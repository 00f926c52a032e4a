package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"linecrypt/bench/pattern"
	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/cli"
)

const (
	fileSize   = 100_000_000
	fileStream = 1
	webPort    = 8080
)

// run does what the demo is for, one fact after the other.
func (d *demo) run() error {
	var err error
	if d.web, err = startWeb(d.top, fileSize, fileStream); err != nil {
		return err
	}
	fmt.Println()
	if err := d.fetch(); err != nil {
		return err
	}
	stop, err := d.top.StartIperf()
	if err != nil {
		return err
	}
	d.iperf = stop
	for _, way := range []struct {
		text string
		args []string
	}{{"client to server", nil}, {"server to client", []string{"-R"}}} {
		rate, err := d.top.Iperf(d.ctx, 4, way.args...)
		if err != nil {
			return err
		}
		fmt.Printf("iperf3:    %s %.2f Gbit/s with one stream\n", way.text, rate/1e9)
	}
	if d.workers > 1 {
		return d.share()
	}
	return nil
}

// spread is how many connections are opened so that every worker gets some of them.
const spread = 32

// share shows that all workers carry connections: it opens some and looks at who got their packets.
func (d *demo) share() error {
	before, err := d.a.Status()
	if err != nil {
		return err
	}
	for range spread {
		url := fmt.Sprintf("http://%s:%d/", topology.Server4, webPort)
		if _, err := d.top.Client.Run("curl", "-s", "-S", "-o", os.DevNull, url); err != nil {
			return err
		}
	}
	after, err := d.a.Status()
	if err != nil {
		return err
	}
	var parts []string
	for i := range after.Cores {
		n := after.Cores[i].RxPackets - before.Cores[i].RxPackets
		if n == 0 {
			return fmt.Errorf("workers: none of %d connections reached worker %d", spread, i)
		}
		parts = append(parts, strconv.FormatUint(n, 10))
	}
	fmt.Printf("workers:   %d connections shared out, packets of each worker: %s\n", spread, strings.Join(parts, ", "))
	return nil
}

// fetch gets the file by curl while the wire is captured, looks the connection's session up before it closes, and examines
// the capture.
func (d *demo) fetch() error {
	capture, err := d.top.Capture("wire.pcap")
	if err != nil {
		return err
	}
	sum, rate, lookErr, err := d.curl()
	path, lost, captureErr := capture.Stop()
	if err := errors.Join(err, captureErr); err != nil {
		return err
	}
	if sum != d.web.sum {
		return fmt.Errorf("curl: the file arrived with SHA-256 %s instead of %s", sum, d.web.sum)
	}
	fmt.Printf("curl:      %d bytes over HTTP, SHA-256 %s... as sent, %.2f Gbit/s\n", fileSize, sum[:16], rate*8/1e9)
	if lookErr != nil {
		return lookErr
	}
	return examine(path, lost)
}

// curl fetches the file, and then on the same connection a page that the server holds back until the sessions were looked
// up. It returns the file's sum and the rate in bytes a second.
func (d *demo) curl() (sum string, rate float64, look, err error) {
	received := filepath.Join(d.top.Dir, "received")
	defer os.Remove(received)
	base := fmt.Sprintf("http://%s:%d", topology.Server4, webPort)
	cmd := d.top.Client.Command(d.ctx, "curl", "-sS", "--fail", "--noproxy", "*", "--max-time", "120", "-w", "%{speed_download}\n",
		"-o", received, base+"/file", "-o", "/dev/null", base+"/hold")
	looked := make(chan error, 1)
	go func() {
		var client string
		select {
		case client = <-d.web.held:
		case <-d.ctx.Done():
			looked <- d.ctx.Err()
			return
		}
		looked <- d.sameSession(client)
		close(d.web.release)
	}()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", 0, nil, fmt.Errorf("curl: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	first, _, _ := strings.Cut(string(out), "\n")
	if rate, err = strconv.ParseFloat(first, 64); err != nil {
		return "", 0, nil, fmt.Errorf("curl: %w", err)
	}
	sum, err = fileSum(received)
	return sum, rate, <-looked, err
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// sameSession compares what both gateways say about the connection that the client opened from an address and port.
func (d *demo) sameSession(client string) error {
	server := fmt.Sprintf("%s:%d", topology.Server4, webPort)
	var found []cli.Session
	for _, g := range []*topology.Gateway{d.a, d.b} {
		s, err := findSession(g, client, server)
		if err != nil {
			return err
		}
		found = append(found, s)
	}
	a, b := found[0], found[1]
	if a.SessionID != b.SessionID || a.SessionID == "" {
		return fmt.Errorf("session: gateway a lists ID %q, gateway b %q", a.SessionID, b.SessionID)
	}
	if a.Role != "A" || b.Role != "B" {
		return fmt.Errorf("session: gateway a has role %s, gateway b role %s", a.Role, b.Role)
	}
	fmt.Printf("session:   %s -> %s, TEP %s, %s\n", a.Client, a.Server, a.TEP, a.AEAD)
	fmt.Printf("           both gateways list ID %s\n", a.SessionID)
	fmt.Printf("           sealed by b: %d frames, %d bytes; opened by a: %d frames, %d bytes\n", b.Sealed.Frames, b.Sealed.Bytes,
		a.Opened.Frames, a.Opened.Bytes)
	return nil
}

func findSession(g *topology.Gateway, client, server string) (cli.Session, error) {
	list, err := g.Sessions()
	if err != nil {
		return cli.Session{}, err
	}
	for _, s := range list {
		if s.Client == client && s.Server == server {
			return s, nil
		}
	}
	return cli.Session{}, fmt.Errorf("session: gateway %s does not list %s -> %s among %d", g.Side, client, server, len(list))
}

// examine says what the capture shows, and errs where it shows what it must not.
func examine(path string, lost int) error {
	w, err := topology.Examine(path)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	fmt.Printf("wire:      %d packets captured (%d lost), %d bytes of TCP data\n", w.Packets, lost, w.Payload)
	fmt.Printf("           ENO (kind 69) in %d of %d SYN and %d of %d SYN-ACK segments\n", w.SYNWithENO, w.SYN, w.SYNACKWithENO, w.SYNACK)
	fmt.Printf("           %d packets with %d or more bytes of the file's plaintext; %d segments are whole frames\n", w.Plaintext,
		pattern.MinRun, w.Frames)
	switch {
	case w.Plaintext != 0:
		return fmt.Errorf("wire: plaintext: %s", w.First)
	case w.SYNWithENO == 0 || w.SYNACKWithENO == 0:
		return errors.New("wire: no ENO option in SYN or SYN-ACK")
	case w.Payload < fileSize/2:
		return errors.New("wire: the capture has less than half of the transfer")
	}
	return nil
}
