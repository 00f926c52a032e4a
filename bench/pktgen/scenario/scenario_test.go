package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"linecrypt/bench/scenarios"
	"linecrypt/ctrlplane/config/keyfile"
)

func TestEveryErrorNamesFileLineAndKey(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"unknown key", "trafic:\n  flows: 1\n", "f.yaml:1: trafic: unknown key; did you mean traffic"},
		{"unknown key in a section", "traffic:\n  flow: 1\n", "f.yaml:2: traffic.flow: unknown key; did you mean traffic.flows (flows: below traffic:)"},
		{"given twice", "traffic:\n  flows: 1\n  flows: 2\n", "f.yaml:3: traffic.flows: is given twice, first in line 2"},
		{"out of range", "traffic:\n\n  flows: 0\n", "f.yaml:3: traffic.flows: 0 is not in 1 to 4194304"},
		{"no number", "traffic:\n  flows: many\n", `f.yaml:2: traffic.flows: "many" is not a whole number`},
		{"word", "traffic:\n  direction: sael\n", `f.yaml:2: traffic.direction: "sael" is not one of seal, open, both`},
		{"size", "traffic:\n  sizes: [64, 9000]\n", `f.yaml:2: traffic.sizes: "9000" is not a size of 1 to 1428`},
		{"weight", "traffic:\n  sizes: [64:0]\n", `f.yaml:2: traffic.sizes: "0" is not a weight of 1 to 16`},
		{"size twice", "traffic:\n  sizes: [64, 64]\n", "f.yaml:2: traffic.sizes: 64 is listed twice"},
		{"no list", "traffic:\n  sizes: 64\n", "f.yaml:2: traffic.sizes: want a list, for example [64]"},
		{"duration", "time:\n  duration: 3\n", `f.yaml:2: time.duration: "3" is not a duration`},
		{"share", "disturb:\n  loss: 60\n", "f.yaml:2: disturb.loss: 60 is not in 0 to 50"},
		{"not a number at all", "search:\n  loss: NaN\n", "f.yaml:2: search.loss: NaN is not in 0 to 50"},
		{"quoted number", "traffic:\n  flows: \"7\"\n", "f.yaml:2: traffic.flows: want integer, not quoted text"},
		{"anchor", "traffic: &a\n  flows: 7\n", "f.yaml:1: traffic: anchors and aliases are not supported"},
		{"port without its kind", "ports:\n  inside: eth0\n", "f.yaml:2: ports.inside: a port is only used with ports.kind device, not auto"},
		{"kind without its port", "ports:\n  kind: device\n  inside: eth0\n", "ports.outside: no port is given, which ports.kind device needs"},
		{"one port twice", "ports:\n  kind: device\n  inside: eth0\n  outside: eth0\n", `f.yaml:4: ports.outside: inside and outside are the same port "eth0"`},
		{"turns with a gateway elsewhere", "ports:\n  kind: device\n  inside: a\n  outside: b\ncores:\n  mode: turns\n", "f.yaml:6: cores.mode: turns need the gateway in this process"},
		{"all flood", "disturb:\n  syn_flood: 90\n  syn_eno_flood: 90\n", "f.yaml:3: disturb.syn_eno_flood: both floods are 180 percent"},
		{"loss in a search", "measure: loss-free\ndisturb:\n  loss: 1\n", "f.yaml:3: disturb.loss: what is lost on purpose cannot be told"},
		{"run above window", "traffic:\n  run: 8\n  window: 4\n", "f.yaml:2: traffic.run: 8 segments in a row are more than the window of 4"},
		{"too many workers", "cores:\n  workers: 65\n", "f.yaml:2: cores.workers: 65 is not in 1 to 64"},
		{"several workers in turns at a rate", "cores:\n  workers: 2\nmeasure: latency\n", "f.yaml:2: cores.workers: several workers that take turns with the generator have no common clock for measure latency: say cores.mode beside"},
		{"scaling of one worker", "measure: scaling\n", "cores.workers: measure scaling compares several workers with one: say how many"},
		{"workers of a gateway elsewhere", "ports:\n  kind: device\n  inside: a\n  outside: b\ncores:\n  workers: 2\n", "f.yaml:6: cores.workers: the gateway of ports.kind device is elsewhere, and so are its workers"},
		{"size twice, with other weights", "traffic:\n  sizes: [64:7, 512:4, 64:1]\n", "f.yaml:2: traffic.sizes: 64 is listed twice"},
		{"share too fine", "disturb:\n  loss: 0.001\n", "f.yaml:2: disturb.loss: 0.001 is finer than hundredths of a percent"},
		{"key for a terminal", "\"\\e[31mfoo\": 1\n", "f.yaml:1: a key is not a name"},
		{"list at the top", "- a\n", "f.yaml:1: want keys and values"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f.yaml", []byte(tt.yaml))
			var e *keyfile.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestBundledScenariosAreThoseThatAreDemanded(t *testing.T) {
	names := Names()
	for _, want := range []string{
		"seal-64", "seal-512", "seal-1380", "seal-imix", "open-64", "open-512", "open-1380", "open-imix", "mixed", "both",
		"flows-1", "flows-1k", "flows-100k", "flows-1m", "handshake-storm", "churn", "syn-flood", "syn-eno-flood", "corrupt",
		"loss-reorder", "loss-free", "latency", "rekey", "soak-60s", "scaling-own", "scaling-spread",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not there", want)
		}
	}
	for _, name := range names {
		s, err := Load(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		data, err := scenarios.Files.ReadFile(name + ".yaml")
		if err != nil || !strings.HasPrefix(string(data), "# ") || s.Summary == "" {
			t.Errorf("%s is not documented: summary %q, error %v", name, s.Summary, err)
		}
		if s.Limits.Loss != 0 {
			t.Errorf("%s lets data be lost", name)
		}
		if s.Name != name {
			t.Errorf("%s calls itself %q", name, s.Name)
		}
	}
}

func TestAFileIsTakenBeforeABundledScenarioOfItsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(path, []byte("summary: mine\ntraffic:\n  flows: 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(path)
	if err != nil || s.Summary != "mine" || s.Traffic.Flows != 7 || s.Name != "mine" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAMistypedNameGetsASuggestion(t *testing.T) {
	_, err := Load("sael-64")
	if err == nil || !strings.Contains(err.Error(), "did you mean seal-64?") {
		t.Errorf("got %v", err)
	}
	if _, err = Load("no such thing at all, nor near"); err == nil || strings.Contains(err.Error(), "did you mean") {
		t.Errorf("got %v", err)
	}
}

func TestAKeySetOnTheCommandLineIsRefusedAlike(t *testing.T) {
	s := Default()
	for _, tt := range []struct{ key, text, want string }{
		{"traffic.flow", "1", "command line: traffic.flow: unknown key; did you mean traffic.flows"},
		{"traffic.flows", "x", `command line: traffic.flows: "x" is not a whole number`},
	} {
		if err := s.Set("command line", tt.key, tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
	if err := errors.Join(s.Set("command line", "traffic.sizes", "64:7,512:4"), s.Check()); err != nil || len(s.Traffic.Sizes) != 2 {
		t.Errorf("%v, %v", s.Traffic.Sizes, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range Names() {
		data, err := scenarios.Files.ReadFile(name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("traffic: {sizes: [1:1, 2:16], flows: 4194304}\nlimits: {loss: -1, p50: 1s}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse("f.yaml", data)
		if (s == nil) == (err == nil) {
			t.Fatalf("%v, %v", s, err)
		}
		if err != nil {
			return
		}
		// What is accepted is within bounds, whatever the file says.
		if s.Traffic.Flows < 1 || s.Traffic.Flows > maxFlows || len(s.Traffic.Sizes) == 0 || s.Time.Duration <= 0 || s.Search.Resolution <= 0 {
			t.Errorf("%+v", s)
		}
		for _, size := range s.Traffic.Sizes {
			if size.Bytes < 1 || size.Bytes > maxPayload || size.Weight < 1 {
				t.Errorf("size %+v", size)
			}
		}
	})
}
