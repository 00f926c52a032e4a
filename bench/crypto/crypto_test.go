package crypto

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
)

// quick measures generic and nothing else.
func quick() Options {
	return Options{
		Algorithms: []string{"CHACHA20_POLY1305"}, Ops: opNames(), Sizes: []int{100},
		Engines: []string{cryptobatch.GenericName}, Keys: 3, Runs: 1,
	}
}

func TestRunMeasuresEachOperationAndShowsProgress(t *testing.T) {
	var progress bytes.Buffer
	results, err := Run(context.Background(), quick(), &progress)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || results[0].Op != opSeal || results[1].Op != opOpen {
		t.Fatalf("results %+v", results)
	}
	for _, r := range results {
		if r.Engine != "generic" || r.Algo != "CHACHA20_POLY1305" || r.Size != 100 || r.Burst != 32 || r.Keys != 3 {
			t.Errorf("not what was asked for: %+v", r)
		}
		if r.Mops <= 0 || math.Abs(r.Gbps/(r.Mops*0.8)-1) > 0.01 || r.CyclesPerByte <= 0 {
			t.Errorf("figures do not agree: %+v", r)
		}
	}
	if !strings.Contains(progress.String(), "2 of 2: CHACHA20_POLY1305 open 100: generic ") {
		t.Errorf("progress: %s", progress.String())
	}
}

func TestFirstEngineIsMeasuredWithManyKeysBesides(t *testing.T) {
	o := quick()
	o.Ops, o.ManyKeys = o.Ops[:1], []int{5}
	var progress bytes.Buffer
	results, err := Run(context.Background(), o, &progress)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 2 || results[0].Keys != 3 || results[1].Keys != 5 || results[1].Engine != "generic" {
		t.Errorf("results %+v", results)
	}
	if !strings.Contains(progress.String(), " generic with 5 keys ") {
		t.Errorf("progress: %s", progress.String())
	}
}

func TestRunStopsWhenItIsToldTo(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, quick(), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestMissingPeerIsSaidOnceAndIsNoError(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	o := quick()
	o.Peers = peerNames()
	var progress bytes.Buffer
	results, err := Run(context.Background(), o, &progress)
	if err != nil || len(results) != 2 {
		t.Fatalf("%d results, %v", len(results), err)
	}
	for _, p := range peerNames() {
		if n := strings.Count(progress.String(), "peer "+p+" is left out: "); n != 1 {
			t.Errorf("%s is said to be missing %d times: %s", p, n, progress.String())
		}
	}
}

func TestAlgorithmsAreNamedAsInTheConfiguration(t *testing.T) {
	c := config.Default()
	for _, name := range algorithmNames() {
		if err := c.Set("test", "aeads", name); err != nil {
			t.Error(err)
		}
	}
	for _, id := range cryptobatch.Algorithms() {
		if !slices.ContainsFunc(algorithms, func(a algorithm) bool { return a.id == id }) {
			t.Errorf("%v is missing", id)
		}
	}
}

func TestEveryKeyIsUsed(t *testing.T) {
	for _, n := range []int{2, 3, 1000, 7919, 2 * 7919} {
		s, err := newSubject(cryptobatch.GenericName, n)
		if err != nil {
			t.Fatal(err)
		}
		used := map[*cryptobatch.Key]bool{}
		ops := make([]cryptobatch.Op, n)
		s.turn(ops)
		for i := range ops {
			used[ops[i].Key] = true
		}
		if len(used) != n {
			t.Errorf("%d of %d keys are used", len(used), n)
		}
	}
}

func TestFlagErrorsNameWhatIsAllowed(t *testing.T) {
	for _, tt := range []struct{ flag, value, want string }{
		{"algo", "AES", "AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305"},
		{"op", "seal,close", "seal, open"},
		{"size", "64,0", "1 to 16384"},
		{"size", "64,", "1 to 16384"},
		{"engine", "fast", "auto, " + strings.Join(cryptobatch.Names(), ", ")},
		{"peers", "yes", "off, on, aesni_gcm, aesni_mb, openssl"},
		{"keys", "4194305", "1 to 4194304"},
		{"runs", "0", "1 to 1000"},
	} {
		fs := flag.NewFlagSet("", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		Command(fs)
		err := fs.Parse([]string{"--" + tt.flag, tt.value})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("--%s %s: %v, want it to name %s", tt.flag, tt.value, err, tt.want)
		}
	}
}

func TestPickTakesListsAndShortNames(t *testing.T) {
	var got []string
	set := pick(&got, peerNames(), map[string][]string{"on": peerNames(), "off": {}})
	for in, want := range map[string][]string{
		"on": peerNames(), "off": {}, "openssl,aesni_gcm": {"openssl", "aesni_gcm"}, "openssl, openssl": {"openssl"},
	} {
		if err := set(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
}

func TestJSONIsAnArrayOfObjectsWithTheAgreedFields(t *testing.T) {
	var b bytes.Buffer
	in := []Result{newResult("generic", job{algorithms[0], opSeal, 1460}, 32, 1, 5e6, 2.1e9), {Engine: "openssl"}}
	if err := WriteJSON(&b, in); err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	if err := json.Unmarshal(b.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"engine": "generic", "algo": "AES_128_GCM", "op": "seal", "size": 1460.0, "burst": 32.0, "keys": 1.0,
		"mops": 5.0, "gbps": 58.4, "cycles_per_byte": 0.2877,
	}
	if len(out) != 2 || !reflect.DeepEqual(out[0], want) {
		t.Errorf("%v, want %v", out, want)
	}
	b.Reset()
	if err := WriteJSON(&b, nil); err != nil || json.Unmarshal(b.Bytes(), &out) != nil {
		t.Errorf("no results: %q, %v", b.String(), err)
	}
}

func TestTextHasTheRatioToTheFasterDriver(t *testing.T) {
	var b bytes.Buffer
	like := Result{Algo: "AES_128_GCM", Op: opSeal, Size: 64}
	var in []Result
	for name, mops := range map[string]float64{"generic": 9, peerAESNIGCM: 6, peerAESNIMB: 4} {
		r := like
		r.Engine, r.Mops = name, mops
		in = append(in, r)
	}
	if err := WriteText(&b, in); err != nil || !strings.Contains(b.String(), "1.50") {
		t.Errorf("%s, %v", b.String(), err)
	}
}

func TestPeersOutputIsRead(t *testing.T) {
	perf := "EAL: something\n    lcore id    Buf Size  Burst Size    Enqueued    Dequeued  Failed Enq  Failed Deq        MOps        Gbps  Cycles/Buf\n\n" +
		"           1        1460          32     2000000     2000000           0           0     10.5800    123.5742      245.75\n"
	if rate, err := parsePerf(perf, 1460); err != nil || rate != 10.58e6 {
		t.Errorf("dpdk-test-crypto-perf: %v, %v", rate, err)
	}
	if _, err := parsePerf(perf, 64); err == nil {
		t.Error("dpdk-test-crypto-perf: a result for another size counts")
	}
	if rate, err := parseSpeed("+DT:AES-128-GCM:1:1460\n+R:3000:AES-128-GCM:1.500000\n+H:1460\n"); err != nil || rate != 2000 {
		t.Errorf("openssl speed: %v, %v", rate, err)
	}
	for _, bad := range []string{"", "+R:x:AES:1.0\n", "+R:1:AES:x\n", "+R:0:AES:1\n", "+R:1:AES:0\n"} {
		if _, err := parseSpeed(bad); err == nil {
			t.Errorf("openssl speed: %q passes for a result", bad)
		}
	}
}

func TestRecordIsReadAsItWasWritten(t *testing.T) {
	r := &Record{
		Machine: Machine{CPU: `a "CPU"`, Cores: 2, TSCGHz: 2.1, Kernel: "k", Go: "1.26", OpenSSL: "3"}, Command: "make <x>", Date: "2026-11-23", Runs: 5,
		Results:  []Result{newResult("generic", job{algorithms[1], opOpen, 64}, 32, 1, 1e6, 2e9)},
		ManyKeys: []Result{newResult("generic", job{algorithms[1], opOpen, 64}, 32, 1000, 1e6, 2e9)},
	}
	name := filepath.Join(t.TempDir(), "r.json")
	if err := r.Write(name); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadRecord(name); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDocumentHasTheTableOfTheResultFile(t *testing.T) {
	r, err := ReadRecord("results/zen5.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../../cmd/linecrypt/docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if want, err := r.Insert(string(document)); err != nil || want != string(document) {
		t.Errorf("the table differs from what `make bench-crypto-table` writes, %v", err)
	}
}

func TestManyKeysHaveATableOfTheirOwn(t *testing.T) {
	j := job{algorithms[0], opSeal, 64}
	r := &Record{Results: []Result{
		newResult("fast", j, 32, 1, 9e6, 2e9), newResult("slow", j, 32, 1, 2e6, 2e9), newResult(peerAESNIGCM, j, 32, 1, 3e6, 2e9),
		newResult("fast", job{algorithms[0], opSeal, 256}, 32, 1, 8e6, 2e9),
	}, ManyKeys: []Result{newResult("fast", j, 32, 1, 9.5e6, 2e9), newResult("fast", j, 32, 1000, 6e6, 2e9)}}
	engines, keys, _ := strings.Cut(r.Markdown(), "numbers of keys, each")
	for _, want := range []string{"| fast | 9.00 (3.00) | 8.00 |", "| slow | 2.00 (0.67) |  |", "| aesni_gcm | 3.00 |  |"} {
		if !strings.Contains(engines, want) {
			t.Errorf("no %q in:\n%s", want, engines)
		}
	}
	for _, want := range []string{"| keys | 64 |\n", "| 1 | 9.50 |\n", "| 1000 | 6.00 |\n"} {
		if !strings.Contains(keys, want) {
			t.Errorf("no %q in:\n%s", want, keys)
		}
	}
}

func TestTableNeedsItsMarkers(t *testing.T) {
	if _, err := new(Record).Insert("no markers"); err == nil {
		t.Error("a text without markers is no error")
	}
}
