package cryptobatch

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/cpuid/v2"
)

func testTable() []entry {
	engine := func(name string) func() (Engine, error) {
		return func() (Engine, error) { return namedEngine{name: name}, nil }
	}
	return []entry{
		{"wide", func(c *cpuid.CPUInfo) bool { return c.Supports(cpuid.AVX512F, cpuid.VAES) }, engine("wide")},
		{"narrow", func(c *cpuid.CPUInfo) bool { return c.Supports(cpuid.AVX2) }, engine("narrow")},
		{GenericName, func(*cpuid.CPUInfo) bool { return true }, engine(GenericName)},
	}
}

type namedEngine struct {
	Engine
	name string
}

func (e namedEngine) Name() string { return e.name }

func cpuWith(features ...cpuid.FeatureID) *cpuid.CPUInfo {
	cpu := &cpuid.CPUInfo{BrandName: "Test CPU"}
	cpu.Enable(features...)
	return cpu
}

func TestAutoTakesTheFirstEngineThatTheCPURuns(t *testing.T) {
	for _, c := range []struct {
		cpu  *cpuid.CPUInfo
		want []string
	}{
		{cpuWith(), []string{GenericName}},
		{cpuWith(cpuid.AVX2), []string{"narrow", GenericName}},
		{cpuWith(cpuid.AVX2, cpuid.AVX512F), []string{"narrow", GenericName}},
		{cpuWith(cpuid.AVX2, cpuid.AVX512F, cpuid.VAES), []string{"wide", "narrow", GenericName}},
	} {
		if got := namesFrom(testTable(), c.cpu); !slices.Equal(got, c.want) {
			t.Errorf("names %v, want %v", got, c.want)
		}
		if e, err := newFrom(testTable(), c.cpu, Auto); err != nil || e.Name() != c.want[0] {
			t.Errorf("auto: %v, %v; want %s", e, err, c.want[0])
		}
	}
}

func TestEngineIsTakenByName(t *testing.T) {
	if e, err := newFrom(testTable(), cpuWith(cpuid.AVX2), GenericName); err != nil || e.Name() != GenericName {
		t.Errorf("generic where a faster one runs: %v, %v", e, err)
	}
}

func TestEngineErrorListsWhatTheCPUCanRun(t *testing.T) {
	cpu := cpuWith(cpuid.AVX2)
	for name, want := range map[string]error{"wide": ErrUnsupportedEngine, "wiiide": ErrUnknownEngine, "": ErrUnknownEngine} {
		_, err := newFrom(testTable(), cpu, name)
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
			continue
		}
		for _, part := range []string{"Test CPU", "auto, narrow, generic", "\"" + name + "\""} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: error %q does not say %s", name, err, part)
			}
		}
	}
}

func TestEveryListedEngineRunsUnderItsName(t *testing.T) {
	names := Names()
	if len(names) == 0 || names[len(names)-1] != GenericName {
		t.Fatalf("engines %v: the last is not %s", names, GenericName)
	}
	for _, name := range names {
		if e := mustEngine(t, name); e.Name() != name {
			t.Errorf("New(%q) is %q", name, e.Name())
		}
	}
	if e := mustEngine(t, Auto); e.Name() != names[0] {
		t.Errorf("auto is %q, want %q", e.Name(), names[0])
	}
}

func TestEnvironmentOverridesConfigurationOverridesAuto(t *testing.T) {
	for _, c := range []struct{ configured, env, want string }{
		{"", "", Auto},
		{"generic", "", "generic"},
		{"", "generic", "generic"},
		{"vaes512", "generic", "generic"},
		{"generic", "auto", Auto},
	} {
		if got := Select(c.configured, c.env); got != c.want {
			t.Errorf("Select(%q, %q) = %q, want %q", c.configured, c.env, got, c.want)
		}
	}
}
