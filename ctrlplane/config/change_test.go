package config

import (
	"slices"
	"strings"
	"testing"
)

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestValueOfEveryKeyCanBeSetAgain(t *testing.T) {
	odd := mustParse(t, `
policy: require
workers: {cores: [3, 2], idle_sleep: 100us}
retransmit: {flow_bytes: 65537}
rekey: {bytes: 5, frames: 0}
teps: [ECDHE_P521, ECDHE_Curve25519]
application_aware: mandatory
metrics: {listen: "off"}
dpdk: {eal: [--no-huge, -v]}
log: {level: debug}
`)
	for _, from := range []*Config{Default(), odd} {
		to := Default()
		for _, k := range Keys() {
			if err := to.Set("test", k.Name, k.Value(from)); err != nil {
				t.Errorf("%s: %v", k.Name, err)
			}
			if got := k.Value(to); got != k.Value(from) {
				t.Errorf("%s: %q becomes %q", k.Name, k.Value(from), got)
			}
		}
		if now, later := Changes(from, to); len(now)+len(later) != 0 {
			t.Errorf("changes %v, %v", now, later)
		}
	}
}

func TestChangesAreToldApartByWhetherTheyNeedARestart(t *testing.T) {
	old := mustParse(t, "inside: eth0\nworkers: {count: 1}\n")
	fresh := mustParse(t, "inside: eth1\nworkers: {count: 2}\npolicy: require\nlog: {level: debug}\nmetrics: {listen: 'off'}\n")
	now, later := Changes(old, fresh)
	say := func(cs []Change) (all []string) {
		for _, c := range cs {
			all = append(all, c.String())
		}
		return all
	}
	if want := []string{"policy (opportunistic -> require)", "log.level (info -> debug)"}; !slices.Equal(say(now), want) {
		t.Errorf("at once: %v", say(now))
	}
	want := []string{"inside (eth0 -> eth1)", "workers.count (1 -> 2)", "metrics.listen (127.0.0.1:9469 -> off)"}
	if !slices.Equal(say(later), want) {
		t.Errorf("later: %v", say(later))
	}
}

func TestWhatProtectsLessIsToldFromWhatProtectsMore(t *testing.T) {
	for _, c := range []struct {
		old, fresh string
		want       string // keys that weaken, by commas
	}{
		{"policy: require", "policy: require", ""},
		{"policy: require", "", "policy"},
		{withPeer + "policy: require\nauthenticated: yes\non_mismatch: reset", "", "policy,authenticated,on_mismatch,peers"},
		{"", withPeer + "policy: require\nauthenticated: yes\non_mismatch: reset", ""},
		{withPeer, strings.Replace(withPeer, "10.0.0.0/8", "0.0.0.0/0", 1), ""},
		{withPeer, strings.Replace(withPeer, "10.0.0.0/8", "10.0.0.0/9", 1), "peers"},
		{"policy: require", "policy: opportunistic", "policy"},
		{"policy: require", "policy: disabled", "policy"},
		{"policy: opportunistic", "policy: disabled", "policy"},
		{"policy: disabled", "policy: opportunistic", ""},
		{"policy: opportunistic", "policy: require", ""},
		{"application_aware: mandatory", "", "application_aware"},
		{"application_aware: mandatory", "application_aware: on", "application_aware"},
		{"application_aware: on", "application_aware: off", ""},
		{"application_aware: off", "application_aware: mandatory", ""},
		{"teps: [ECDHE_Curve448]", "", "teps"},
		{"teps: [ECDHE_Curve448, ECDHE_P521]", "teps: [ECDHE_P521]", ""},
		{"teps: [ECDHE_Curve448, ECDHE_P521]", "teps: [ECDHE_P521, ECDHE_Curve448]", ""},
		{"aeads: [AES_256_GCM]", "aeads: [AES_128_GCM]", "aeads"},
		{"aeads: [AES_256_GCM]\npolicy: require\n", "log: {level: debug}", "policy,aeads"},
	} {
		var got []string
		for _, ch := range Weakened(mustParse(t, c.old), mustParse(t, c.fresh)) {
			got = append(got, ch.Key)
		}
		if strings.Join(got, ",") != c.want {
			t.Errorf("%q to %q: %v, want %q", c.old, c.fresh, got, c.want)
		}
	}
}

func TestWeakeningThatNobodyAskedForIsAnErrorThatSaysWhatToWrite(t *testing.T) {
	old := mustParse(t, "policy: require\nteps: [ECDHE_Curve448]\n")
	empty := mustParse(t, "")
	if errs := empty.Unsaid("gw.yaml", Weakened(mustParse(t, withPeer), empty)); len(errs) != 1 ||
		!strings.HasPrefix(errs[0].Error(), "gw.yaml: peers: the key is not given, and its default, none, protects less than [{name: ") ||
		!strings.HasSuffix(errs[0].Error(), "write `peers: []` there") {
		t.Errorf("%v", errs)
	}
	errs := empty.Unsaid("gw.yaml", Weakened(old, empty))
	if len(errs) != 2 {
		t.Fatalf("%v", errs)
	}
	want := "gw.yaml: policy: the key is not given, and its default, opportunistic, protects less than require, which is in force; " +
		"to have it so, write `policy: opportunistic` there"
	if errs[0].Error() != want {
		t.Errorf("got\n%v\nwant\n%s", errs[0], want)
	}
	if !strings.Contains(errs[1].Error(), "write `teps: [ECDHE_Curve25519,ECDHE_P256,ECDHE_Curve448,ECDHE_P521]` there") {
		t.Errorf("got %v", errs[1])
	}
	if errs := empty.Unsaid("", Weakened(old, empty)); !strings.Contains(errs[0].Error(), "with --set policy=opportunistic") {
		t.Errorf("without a file: %v", errs[0])
	}
	said := mustParse(t, "policy: disabled\nteps: [ECDHE_P521]\n")
	if errs := said.Unsaid("gw.yaml", Weakened(old, said)); len(errs) != 0 {
		t.Errorf("with the words in the file: %v", errs)
	}
	flagged := mustParse(t, "")
	if err := flagged.Set(commandLine, "policy", "opportunistic"); err != nil {
		t.Fatal(err)
	}
	if errs := flagged.Unsaid("gw.yaml", Weakened(old, flagged)); len(errs) != 1 {
		t.Errorf("with the policy on the command line: %v", errs)
	}
}
