package shm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/policy"
	"linecrypt/flowtable"
)

func testRules(t testing.TB, p flowtable.Policy, teps ...eno.TEP) *Rules {
	t.Helper()
	offer, err := eno.AppendOffer(nil, eno.Offer{Global: eno.Global{Aware: true}, TEPs: teps})
	if err != nil {
		t.Fatal(err)
	}
	r := &Rules{Terms: policy.Terms{Policy: p, Aware: true, Mandatory: true}, Usable: true}
	for _, err := range []error{r.SetOffer(offer), r.SetTEPs(teps), r.SetAEADs([]uint16{1, 2})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// ends returns a segment as the data plane and as the control plane see it.
func ends(t testing.TB) (data, control *Segment) {
	t.Helper()
	dir := t.TempDir()
	data, err := Create(dir, Params{Name: "test", Engine: "generic", Cores: []int{-1}, Flows: flowtable.Layout{Capacity: 100, Chunks: 50}})
	if err != nil {
		t.Fatal(err)
	}
	if control, err = OpenControl(dir, "test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		control.Close()
		data.Close()
	})
	return data, control
}

func TestRulesReachTheDataPlaneAndOutliveTheControlPlane(t *testing.T) {
	data, control := ends(t)
	reader := data.RulesReader()
	if _, ok := reader.Look(); ok || data.Rules(new(Rules)) || data.Policy() != flowtable.PolicyUnset {
		t.Error("there are rules although nobody has published any")
	}
	for _, p := range []flowtable.Policy{flowtable.Require, flowtable.Opportunistic, flowtable.Disabled} {
		want := testRules(t, p, 0x23, 0x21, eno.TEP(0x40+p))
		want.Mandatory = p == flowtable.Require
		if err := control.PublishRules(want); err != nil {
			t.Fatal(err)
		}
		got, ok := reader.Look()
		if !ok || *got != *want || data.Policy() != p {
			t.Errorf("%v: got %+v, policy %v", p, got, data.Policy())
		}
		if !slices.Equal(got.TEPs(), want.TEPs()) || !bytes.Equal(got.Offer(), want.Offer()) || !slices.Equal(got.AEADs(), []uint16{1, 2}) {
			t.Errorf("%v: teps % x, offer % x", p, got.TEPs(), got.Offer())
		}
	}
	last := *must(reader.Look())(t)
	control.Close()
	var again Rules
	if got, ok := reader.Look(); !ok || *got != last || !data.Rules(&again) || again != last {
		t.Error("the rules are gone with the control plane")
	}
}

func must(r *Rules, ok bool) func(testing.TB) *Rules {
	return func(t testing.TB) *Rules {
		t.Helper()
		if !ok {
			t.Fatal("no rules")
		}
		return r
	}
}

func TestRulesThatMakeNoSenseAreNotPublished(t *testing.T) {
	data, control := ends(t)
	for name, change := range map[string]func(*Rules){
		"no policy":          func(r *Rules) { r.Policy = flowtable.PolicyUnset },
		"unknown policy":     func(r *Rules) { r.Policy = flowtable.NumPolicies },
		"other option":       func(r *Rules) { r.Offer()[0]++ },
		"length of offer":    func(r *Rules) { r.Offer()[1]++ },
		"tep out of range":   func(r *Rules) { r.TEPs()[0] = 0x1f },
		"must without aware": func(r *Rules) { r.Aware = false },
	} {
		r := testRules(t, flowtable.Require, 0x23)
		change(r)
		if err := control.PublishRules(r); !errors.Is(err, ErrRules) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := data.PublishRules(testRules(t, flowtable.Require, 0x23)); !errors.Is(err, ErrRules) {
		t.Errorf("the data plane publishes: %v", err)
	}
	if data.Rules(new(Rules)) {
		t.Error("something was published")
	}
}

func TestDamagedRulesAreCountedAndTheLastGoodOnesStay(t *testing.T) {
	data, control := ends(t)
	good := testRules(t, flowtable.Require, 0x23)
	if err := control.PublishRules(good); err != nil {
		t.Fatal(err)
	}
	reader := data.RulesReader()
	reader.Look()
	b := &control.hdr.rules
	for n := range uint64(2 * rulesWords) {
		version := b.version.Load() + 1
		to := &b.copies[version%rulesCopies]
		for i := range to {
			to[i].Store(^(n + uint64(i)))
		}
		b.version.Store(version)
		if got, ok := reader.Look(); !ok || *got != *good || reader.Bad() != n+1 {
			t.Fatalf("after damage: %+v, %d counted", got, reader.Bad())
		}
	}
}

func TestControlPlaneKilledWhileItPublishesChangesNothing(t *testing.T) {
	data, control := ends(t)
	good := testRules(t, flowtable.Require, 0x23)
	if err := control.PublishRules(good); err != nil {
		t.Fatal(err)
	}
	b := &control.hdr.rules
	b.copies[(b.version.Load()+1)%rulesCopies][0].Store(^uint64(0))
	var r Rules
	if !data.Rules(&r) || r != *good {
		t.Errorf("the data plane sees %+v", r)
	}
}

func TestReaderNeverSeesHalfOfTheRules(t *testing.T) {
	data, control := ends(t)
	variants := []*Rules{
		testRules(t, flowtable.Require, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27),
		testRules(t, flowtable.Opportunistic, 0x30),
		testRules(t, flowtable.Disabled, 0x41, 0x42, 0x43),
	}
	if err := control.PublishRules(variants[0]); err != nil {
		t.Fatal(err)
	}
	reader := data.RulesReader()
	must(reader.Look())(t) // from here on it has some, also while they change faster than it reads
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = control.PublishRules(variants[i%len(variants)])
			}
		}
	})
	for range 50_000 {
		got := must(reader.Look())(t)
		if !slices.ContainsFunc(variants, func(v *Rules) bool { return *v == *got }) {
			t.Errorf("a mixture: %+v", got)
			break
		}
	}
	close(stop)
	writer.Wait()
	if reader.Bad() != 0 {
		t.Errorf("%d times rules made no sense", reader.Bad())
	}
}

func TestLookingAtRulesAllocatesNothing(t *testing.T) {
	data, control := ends(t)
	r := testRules(t, flowtable.Require, 0x23)
	reader := data.RulesReader()
	if n := testing.AllocsPerRun(100, func() {
		_ = control.PublishRules(r)
		reader.Look()
		reader.Look()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkLookAtRules(b *testing.B) {
	data, control := ends(b)
	if err := control.PublishRules(testRules(b, flowtable.Require, 0x23)); err != nil {
		b.Fatal(err)
	}
	reader := data.RulesReader()
	for range b.N {
		reader.Look()
	}
}

func FuzzRules(f *testing.F) {
	w := testRules(f, flowtable.Require, 0x23, 0x21).encode()
	var seed []byte
	for _, x := range w {
		seed = binary.LittleEndian.AppendUint64(seed, x)
	}
	f.Add(seed)
	f.Add(make([]byte, rulesBytes))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) != rulesBytes {
			return
		}
		var w rulesImage
		for i := range w {
			w[i] = binary.LittleEndian.Uint64(raw[8*i:])
		}
		var r Rules
		if r.decode(&w) != nil {
			return
		}
		if !r.Policy.Valid() || len(r.Offer()) < 2 || len(r.TEPs()) == 0 || len(r.AEADs()) == 0 {
			t.Fatalf("accepted: %+v", r)
		}
		if again := r.encode(); again != w {
			t.Fatalf("%x becomes %x", w, again)
		}
	})
}
