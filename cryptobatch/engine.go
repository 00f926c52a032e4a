package cryptobatch

import (
	"errors"
	"fmt"
	"strings"

	"github.com/klauspost/cpuid/v2"
)

// Auto is the engine name that stands for the fastest one this CPU can run.
const Auto = "auto"

// EnvEngine is the environment variable that overrides the configured engine.
// This package does not read it: a main passes its value to Select.
const EnvEngine = "LINECRYPT_ENGINE"

// ErrUnknownEngine is wrapped by New's error for a name that is no engine.
var ErrUnknownEngine = errors.New("unknown engine")

// ErrUnsupportedEngine is wrapped by New's error for an engine that this CPU
// cannot run.
var ErrUnsupportedEngine = errors.New("engine not supported by this CPU")

// entry is one line of the engine table.
type entry struct {
	name string
	// runs reports whether the engine may be used on the CPU.
	runs func(*cpuid.CPUInfo) bool
	make func() (Engine, error)
}

// table lists all engines, the fastest first; the last runs anywhere.
func table() []entry {
	return append(accelerated(),
		entry{GenericName, func(*cpuid.CPUInfo) bool { return true }, newGeneric})
}

// Select returns the engine name to use: env, the value of the environment
// variable EnvEngine, if it is not empty, else the configured one, else Auto.
func Select(configured, env string) string {
	switch {
	case env != "":
		return env
	case configured != "":
		return configured
	}
	return Auto
}

// New makes the engine of that name, or for Auto the fastest one that this CPU
// can run. The error lists what it can run. Each call makes an engine of its
// own; keys of one are not keys of another.
func New(name string) (Engine, error) {
	return newFrom(table(), &cpuid.CPU, name)
}

// Names lists the engines that this CPU can run, the fastest first.
func Names() []string {
	return namesFrom(table(), &cpuid.CPU)
}

func newFrom(entries []entry, cpu *cpuid.CPUInfo, name string) (Engine, error) {
	reason := ErrUnknownEngine
	for _, e := range entries {
		if name != e.name && name != Auto {
			continue
		}
		if e.runs(cpu) {
			return e.make()
		}
		reason = ErrUnsupportedEngine
	}
	return nil, fmt.Errorf("cryptobatch: engine %q: %w (%s can run %s)",
		name, reason, cpuName(cpu), strings.Join(append([]string{Auto}, namesFrom(entries, cpu)...), ", "))
}

func namesFrom(entries []entry, cpu *cpuid.CPUInfo) []string {
	var names []string
	for _, e := range entries {
		if e.runs(cpu) {
			names = append(names, e.name)
		}
	}
	return names
}

func cpuName(cpu *cpuid.CPUInfo) string {
	if cpu.BrandName == "" {
		return "this CPU"
	}
	return cpu.BrandName
}
