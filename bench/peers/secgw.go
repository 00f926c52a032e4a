package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// secgwVariable names the binary of DPDK's example, which no package has.
const secgwVariable = "IPSEC_SECGW"

// secgwConfig is a tunnel that all of the mix goes into, sealed with AES-128-GCM, and one back, which the program wants too.
const secgwConfig = `sp ipv4 out esp protect 5 pri 1 dst 192.168.105.0/24 sport 0:65535 dport 0:65535
sp ipv4 in esp protect 105 pri 1 dst 192.168.115.0/24 sport 0:65535 dport 0:65535
sa out 5 aead_algo aes-128-gcm aead_key 2b:7e:15:16:28:ae:d2:a6:ab:f7:15:88:09:cf:4f:3d:de:ad:be:ef mode ipv4-tunnel src 172.16.1.5 dst 172.16.2.5
sa in 105 aead_algo aes-128-gcm aead_key 2b:7e:15:16:28:ae:d2:a6:ab:f7:15:88:09:cf:4f:3d:de:ad:be:ef mode ipv4-tunnel src 172.16.2.5 dst 172.16.1.5
rt ipv4 dst 172.16.2.5/32 port 1
rt ipv4 dst 192.168.105.0/24 port 1
rt ipv4 dst 192.168.115.0/24 port 0
`

// findSecgw returns the binary that the environment names, or says what to set.
func findSecgw() (string, error) {
	name := os.Getenv(secgwVariable)
	if name == "" {
		return "", fmt.Errorf("set %s to the binary of DPDK's examples/ipsec-secgw, built from the sources of the DPDK that is installed, with .offloads of port_conf's rxmode 0", secgwVariable)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", secgwVariable, err)
	}
	return path, nil
}

// secgw measures ipsec-secgw, which seals everything that comes from the source, on one core.
func secgw(ctx context.Context, binary string, core int, dir, capture string, d time.Duration) (figure, error) {
	config := filepath.Join(dir, "ep.cfg")
	if err := os.WriteFile(config, []byte(secgwConfig), 0o600); err != nil {
		return figure{}, err
	}
	// It has a queue for each core and the devices one queue: it gets one core. What it prints comes from a thread of EAL's.
	args := append(ealMemory(), "-l", strconv.Itoa(core))
	args = append(append(args, devices(capture)...), "--vdev", "crypto_aesni_gcm0", "--",
		"-p", "0x3", "-P", "-u", "0x2", "--config=(0,0,"+strconv.Itoa(core)+"),(1,0,"+strconv.Itoa(core)+")", "-f", config, "-t", "1", "-l")
	out, share, err := period(ctx, d, binary, args...)
	if err != nil {
		return figure{}, err
	}
	rate, err := parseSecgw(out)
	if err != nil {
		return figure{}, said(binary, err, out)
	}
	return figureOf(rate, share)
}

var (
	secgwSent    = regexp.MustCompile(`(?m)^Total packets sent:\s*(\d+)`)
	secgwDropped = regexp.MustCompile(`(?m)^Total packets dropped:\s*(\d+)`)
)

// parseSecgw finds packets a second in the reports of each second, of which each has the sum since the start: the mean between the
// first and the last one. Packets that were dropped were not sealed, and spoil the figure.
func parseSecgw(out string) (float64, error) {
	var sent []float64
	for _, m := range secgwSent.FindAllStringSubmatch(out, -1) {
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, err
		}
		sent = append(sent, n)
	}
	for len(sent) > 0 && sent[0] == 0 {
		sent = sent[1:]
	}
	if len(sent) < 2 {
		return 0, errors.New("fewer than two reports of packets sent")
	}
	for _, m := range secgwDropped.FindAllStringSubmatch(out, -1) {
		if m[1] != "0" {
			return 0, fmt.Errorf("%s packets were dropped", m[1])
		}
	}
	rate := (sent[len(sent)-1] - sent[0]) / float64(len(sent)-1)
	if rate <= 0 {
		return 0, errors.New("no packet was sent between reports")
	}
	return rate, nil
}
