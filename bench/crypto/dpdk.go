package crypto

import (
	"fmt"
	"strconv"
	"strings"

	"linecrypt/dataplane/hugepages"
)

const (
	perfProgram = "dpdk-test-crypto-perf"
	perfSeconds = 0.15 // of one measurement
	perfMB      = 256
)

// cryptoPerf is a driver of DPDK under dpdk-test-crypto-perf.
type cryptoPerf struct {
	driver string // without the prefix crypto_
	algs   []algorithm
	job    job     // of the last measurement,
	rate   float64 // and its result
}

func (p *cryptoPerf) name() string      { return p.driver }
func (p *cryptoPerf) shape() (int, int) { return Burst, 1 }
func (p *cryptoPerf) drop()             {}

func (p *cryptoPerf) does(alg algorithm) bool {
	for _, a := range p.algs {
		if a == alg {
			return true
		}
	}
	return false
}

func (p *cryptoPerf) measure(r *runner, j job) (float64, error) {
	guess := p.rate
	if p.job != j {
		guess = firstGuess(j)
	}
	total := max(int(guess*perfSeconds)/Burst, 1) * Burst
	// The program counts operations on its second lcore; the first one waits, in a loop of its own.
	args := append(ealMemory(), "--no-pci", "--no-telemetry", "--log-level=error", "--main-lcore=0",
		fmt.Sprintf("--lcores=0@%d,1@%d", r.beside, r.core), "--vdev", "crypto_"+p.driver+"0", "--",
		"--ptest", "throughput", "--silent", "--devtype", "crypto_"+p.driver, "--optype", "aead",
		"--aead-algo", j.alg.dpdk, "--aead-op", map[string]string{opSeal: "encrypt", opOpen: "decrypt"}[j.op],
		"--aead-key-sz", strconv.Itoa(j.alg.id.KeyLen()), "--aead-iv-sz", "12", "--aead-aad-sz", strconv.Itoa(aadLen), "--digest-sz", "16",
		"--buffer-sz", strconv.Itoa(j.size), "--burst-sz", strconv.Itoa(Burst), "--total-ops", strconv.Itoa(total))
	out, err := output(r.ctx, -1, perfProgram, args...)
	if err != nil {
		return 0, err
	}
	rate, err := parsePerf(out, j.size)
	if err != nil {
		return 0, err
	}
	p.job, p.rate = j, rate
	return rate, nil
}

// firstGuess is an order of magnitude of what drivers do, in operations per second.
func firstGuess(j job) float64 {
	base, perByte := 40e-9, 0.06e-9
	if j.alg.dpdk != "aes-gcm" {
		base, perByte = 200e-9, 0.22e-9
	}
	return 1 / (base + perByte*float64(j.size))
}

// ealMemory chooses huge pages where enough are free. In both cases EAL leaves no file behind.
func ealMemory() []string {
	mem := []string{"-m", strconv.Itoa(perfMB)}
	if s, err := hugepages.Read("/"); err == nil && s.FreeBytes() >= perfMB<<20 {
		return append(mem, "--in-memory")
	}
	return append(mem, "--no-huge", "--no-shconf")
}

// parsePerf finds operations per second in the output: the column MOps of the line for the size.
func parsePerf(out string, size int) (float64, error) {
	column := -1
	for line := range strings.Lines(out) {
		line = strings.NewReplacer("lcore id", "lcore", "Buf Size", "Size", "Burst Size", "Burst",
			"Failed Enq", "FailedEnq", "Failed Deq", "FailedDeq").Replace(line)
		fields := strings.Fields(line)
		for i, f := range fields {
			if f == "MOps" {
				column = i
			}
		}
		if column < 0 || len(fields) <= column || fields[1] != strconv.Itoa(size) {
			continue
		}
		mops, err := strconv.ParseFloat(fields[column], 64)
		if err != nil || mops <= 0 {
			return 0, fmt.Errorf("%s: no rate: %s", perfProgram, strings.TrimSpace(line))
		}
		return mops * 1e6, nil
	}
	return 0, fmt.Errorf("%s: no result: %s", perfProgram, lastLine(out))
}
