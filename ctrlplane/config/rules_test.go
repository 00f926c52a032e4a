package config

import (
	"fmt"
	"strings"
	"testing"

	"linecrypt/ctrlplane/policy"
	"linecrypt/flowtable"
)

func parsed(t testing.TB, text string) *Config {
	t.Helper()
	c, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRuleHasWhatItDoesNotSayFromOutsideOfRules(t *testing.T) {
	c := parsed(t, `
policy: require
aeads: [CHACHA20_POLY1305]
rules:
  - name: legacy
    destination: [192.0.2.0/24]
    policy: off
  - name: aware
    vlan: [7.*, none]
    application_aware: mandatory
    rekey: {frames: 1024}
`)
	set, err := c.RuleSet(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	legacy, aware := set.Rule(0), set.Rule(1)
	if legacy.Terms.Policy != flowtable.Disabled || aware.Terms.Policy != flowtable.Require || !aware.Terms.Mandatory || aware.Terms.RekeyFrames != 1024 ||
		legacy.Terms.Mandatory || aware.Terms.AEADs()[0] != 0x10 || set.Rule(2).Name != policy.DefaultRule {
		t.Errorf("%+v, %+v", legacy, aware)
	}
	again := parsed(t, "policy: require\naeads: [CHACHA20_POLY1305]\nrules: "+lookup("rules").Value(c)+"\n")
	if other, err := again.RuleSet(nil, nil); err != nil || !other.Same(set) {
		t.Errorf("%s is not the same: %v", lookup("rules").Value(c), err)
	}
}

func TestMistakesInRulesNameFileLineAndKey(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"rules: 5", "f.yaml:1: rules: want a list"},
		{"rules:\n  - name: a\n    polcy: off", "f.yaml:3: rules[0].polcy: unknown key; did you mean policy"},
		{"rules:\n  - name: a\n  - name: b\n    inside: [10.0.0.1/8]", "f.yaml:4: rules[1].inside: 10.0.0.1/8 has bits behind its /8: do you mean 10.0.0.0/8?"},
		{"rules:\n  - name: a\n    ports: [99999]", `f.yaml:3: rules[0].ports: "99999" is neither a port nor a range of ports`},
		{"rules:\n  - name: a\n    vlan: [5000]", `f.yaml:3: rules[0].vlan: "5000" is no VLAN`},
		{"rules:\n  - policy: off", "f.yaml:2: rules[0]: a rule has no name"},
		{"rules:\n  - name: default", "rules[0]: the name default is that of what holds where no rule does"},
		{"rules:\n  - name: a\n  - name: a", "f.yaml:3: rules[1].name: a is the name of rules[0] too, in line 2"},
		{"rules:\n  - name: a\n    inside: [10.0.0.0/8]\n    outside: ['::/0']", "rules[0]: no connection can fit it"},
		{"rules:\n  - name: a\n    policy: maybe", `f.yaml:3: rules[0].policy: "maybe" is not one of off, opportunistic, require`},
	} {
		if _, err := Parse("f.yaml", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, not %s", c.text, err, c.want)
		}
	}
}

func TestRulesThatProtectLessNeedTheWord(t *testing.T) {
	const strict = "rules:\n  - {name: db, ports: [5432], policy: require}\n  - {name: web, ports: [443]}\n"
	for name, c := range map[string]struct {
		old, fresh       string
		weakened, unsaid int
	}{
		"nothing changes":             {strict, strict, 0, 0},
		"said by the rule":            {strict, "rules: [{name: db, ports: [5432], policy: off}, {name: web, ports: [443]}]", 1, 0},
		"left out of the rule":        {strict, "rules: [{name: db, ports: [5432]}, {name: web, ports: [443]}]", 1, 1},
		"said outside of rules":       {strict, "policy: opportunistic\nrules: [{name: db, ports: [5432]}, {name: web, ports: [443]}]", 1, 0},
		"rule is gone":                {strict, "policy: opportunistic\nrules: [{name: web, ports: [443]}]", 1, 0},
		"the list is gone":            {strict, "policy: opportunistic", 1, 1},
		"file is empty":               {strict, "", 1, 1},
		"no rules, and it is said so": {strict, "rules: []", 1, 0},
		"renamed":                     {strict, "rules: [{name: database, ports: [5432], policy: require}, {name: web, ports: [443]}]", 0, 0},
		"renamed, and weaker":         {strict, "rules: [{name: database, ports: [5432], policy: off}]", 1, 0},
		"about less":                  {strict, "rules: [{name: db, ports: [5432], policy: require, direction: outbound}]", 1, 0},
		"about more":                  {strict, "rules: [{name: db, ports: [5432, 5433], policy: require}]", 0, 0},
		"a weaker one stands before":  {strict, "rules: [{name: all, policy: off}, {name: db, ports: [5432], policy: require}, {name: web, ports: [443]}]", 1, 0},
		"and does not say so":         {strict, "rules: [{name: all}, {name: db, ports: [5432], policy: require}, {name: web, ports: [443]}]", 1, 1},
		"stronger":                    {strict, "policy: require\nrules: []", 0, 0},
		"a weak one is gone":          {"rules: [{name: x, ports: [1], policy: off}]", "", 0, 0},
	} {
		weakened, unsaid := RuleChanges(parsed(t, c.old), parsed(t, c.fresh), "f.yaml")
		if len(weakened) != c.weakened || len(unsaid) != c.unsaid {
			t.Errorf("%s: weakened %v, unsaid %v", name, weakened, unsaid)
		}
	}
}

func TestTenThousandRulesAreReadAndCompared(t *testing.T) {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "  - {name: rule-%d, inside: [10.%d.%d.0/24], ports: [%d], policy: require}\n", i, i>>8, i&255, 1000+i)
	}
	c := parsed(t, b.String())
	if weakened, unsaid := RuleChanges(c, c, "f.yaml"); len(c.Rules) != 10_000 || len(weakened)+len(unsaid) != 0 {
		t.Errorf("%d rules; weakened %v, unsaid %v", len(c.Rules), weakened, unsaid)
	}
}
