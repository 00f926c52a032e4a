package crypto

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/unix"

	"linecrypt/dataplane/tsc"
)

// Machine says where results come from. What is not installed has no version.
type Machine struct {
	CPU     string  `json:"cpu"` // brand, family and model
	Cores   int     `json:"cores"`
	TSCGHz  float64 `json:"tsc_ghz"`
	Kernel  string  `json:"kernel"`
	Go      string  `json:"go"`
	DPDK    string  `json:"dpdk,omitempty"`
	IPsecMB string  `json:"ipsec_mb,omitempty"`
	OpenSSL string  `json:"openssl,omitempty"`
}

// ThisMachine describes the machine and what is installed on it.
func ThisMachine(ctx context.Context) Machine {
	m := Machine{
		CPU:    fmt.Sprintf("%s (family %d, model %d)", cpuid.CPU.BrandName, cpuid.CPU.Family, cpuid.CPU.Model),
		Cores:  runtime.NumCPU(),
		TSCGHz: round(tsc.PerSecond(50*time.Millisecond)/1e9, 2),
		Go:     strings.TrimPrefix(runtime.Version(), "go"),
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.Kernel, _, _ = strings.Cut(unix.ByteSliceToString(uts.Release[:]), "-")
	}
	// Without arguments of its own the program ends with an error, after EAL and the driver have said what they are.
	perf := printed(ctx, perfProgram, append(ealMemory(), "-v", "--no-pci", "--no-telemetry", "--vdev", "crypto_aesni_mb0")...)
	m.DPDK = found(`DPDK ([0-9.]+)`, perf)
	m.IPsecMB = found(`library version used: ([0-9.]+)`, perf)
	m.OpenSSL = found(`^OpenSSL ([0-9a-z.]+)`, printed(ctx, opensslProgram, "version"))
	return m
}

// String is the description in one line.
func (m Machine) String() string {
	s := fmt.Sprintf("%s, %d cores, TSC %.2f GHz, kernel %s, Go %s", m.CPU, m.Cores, m.TSCGHz, m.Kernel, m.Go)
	for _, v := range []struct{ name, version string }{{"DPDK", m.DPDK}, {"libipsec-mb", m.IPsecMB}, {"OpenSSL", m.OpenSSL}} {
		if v.version != "" {
			s += ", " + v.name + " " + v.version
		}
	}
	return s
}

func found(pattern, in string) string {
	if m := regexp.MustCompile(pattern).FindStringSubmatch(in); m != nil {
		return m[1]
	}
	return ""
}
