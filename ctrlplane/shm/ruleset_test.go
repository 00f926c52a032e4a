package shm

import (
	"errors"
	"fmt"
	"testing"

	"linecrypt/ctrlplane/policy"
	"linecrypt/flowtable"
)

func testSet(t testing.TB, earlier *policy.Set, n int) *policy.Set {
	t.Helper()
	terms := testRules(t, flowtable.Require, 0x23).Terms
	var rules []policy.Rule
	for i := range n {
		rules = append(rules, policy.Rule{Name: fmt.Sprintf("r%d", i), Match: policy.Match{Ports: []policy.Range{{Low: uint32(i), High: uint32(i)}}}, Terms: terms})
	}
	set, err := policy.New(rules, terms, earlier, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestSetOfRulesReachesTheDataPlaneAndTheOneBeforeItStaysReadable(t *testing.T) {
	data, control := ends(t)
	first := testSet(t, nil, 3)
	second := testSet(t, first, 1000)
	for _, set := range []*policy.Set{first, second} {
		if err := control.PublishRuleSet(set); err != nil {
			t.Fatal(err)
		}
		for _, want := range []*policy.Set{first, set} {
			if got, err := data.RuleSet(want.Number()); err != nil || !got.Same(want) || got.Number() != want.Number() {
				t.Errorf("set %d: %v", want.Number(), err)
			}
		}
	}
	if err := control.PublishRuleSet(testSet(t, second, 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := data.RuleSet(first.Number()); !errors.Is(err, ErrNoRuleSet) {
		t.Errorf("a set that was overwritten: %v", err)
	}
	if err := data.PublishRuleSet(first); !errors.Is(err, ErrRules) {
		t.Errorf("the data plane publishes: %v", err)
	}
}

func TestDamagedSetOfRulesIsRefused(t *testing.T) {
	data, control := ends(t)
	set := testSet(t, nil, 50)
	if err := control.PublishRuleSet(set); err != nil {
		t.Fatal(err)
	}
	image, line := control.ruleSetMemory(set.Number()), &control.hdr.ruleSet.images[set.Number()%ruleSets]
	for at := 0; at < int(line.size.Load()); at += 7 {
		image[at] ^= 0x40
		if _, err := data.RuleSet(set.Number()); !errors.Is(err, ErrRuleSet) {
			t.Fatalf("byte %d is wrong: %v", at, err)
		}
		image[at] ^= 0x40
	}
	for _, size := range []uint64{0, line.size.Load() - 1, policy.MaxImage, policy.MaxImage + 1, 1 << 63} {
		old := line.size.Swap(size)
		if _, err := data.RuleSet(set.Number()); !errors.Is(err, ErrRuleSet) {
			t.Errorf("%d bytes: %v", size, err)
		}
		line.size.Store(old)
	}
	if _, err := data.RuleSet(set.Number()); err != nil {
		t.Errorf("the set is whole: %v", err)
	}
}

func TestVerdictsAreCountedByRule(t *testing.T) {
	data, control := ends(t)
	data.Verdicts(0).Add(7, policy.Refused)
	data.Verdicts(0).Add(7, policy.Refused)
	data.Verdicts(0).Add(policy.MaxNames-1, policy.Off)
	if n := control.RuleConnections(7, policy.Refused); n != 2 {
		t.Errorf("%d refused", n)
	}
	if control.RuleConnections(policy.MaxNames-1, policy.Off) != 1 || control.RuleConnections(7, policy.Off) != 0 {
		t.Error("counted elsewhere")
	}
}
