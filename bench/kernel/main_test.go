package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"linecrypt/bench/testenv"
	"linecrypt/bench/topology"
)

// programs is the folder of the programs under test, empty without root.
var programs string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "linecrypt-kernel-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	args := []string{"build"}
	if tags := buildTags(); tags != "" {
		args = append(args, "-tags="+tags)
	}
	build := exec.Command("go", append(args, "-o", dir, "linecrypt/cmd/...")...)
	if out, err := build.CombinedOutput(); err != nil {
		return fail(fmt.Errorf("build the programs: %w\n%s", err, out))
	}
	programs = dir
	if _, err := topology.Sweep(); err != nil {
		return fail(err)
	}
	return m.Run()
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// buildTags returns the tags that this test was built with.
func buildTags() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "-tags" {
			return s.Value
		}
	}
	return ""
}

func hasDPDK() bool { return slices.Contains(strings.Split(buildTags(), ","), "dpdk") }

// need skips the test where the machine has not what all tests here need.
func need(t *testing.T) {
	t.Helper()
	testenv.NeedRoot(t)
	if err := topology.Tools(); err != nil {
		testenv.Skip(t, err.Error())
	}
}

// needTool skips the test where a program is missing.
func needTool(t *testing.T, name string) {
	t.Helper()
	testenv.NeedRoot(t)
	if err := topology.Tools(name); err != nil {
		testenv.Skip(t, err.Error())
	}
}

// needPorts skips the test where the programs cannot open ports of a kind.
func needPorts(t *testing.T, kind topology.PortKind) {
	t.Helper()
	if kind.DPDK() && !hasDPDK() {
		testenv.Skip(t, "these programs are built without DPDK")
	}
}
