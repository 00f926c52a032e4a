package config

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"
	"time"

	"linecrypt/ctrlplane/config/keyfile"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Rule is a rule of the configuration. What it does not say it has from the keys of the same names outside of rules.
type Rule struct {
	Name  string
	Match policy.Match

	Policy           flowtable.Policy
	TEPs             []tcpcrypt.TEP
	AEADs            []tcpcrypt.AEAD
	ApplicationAware Awareness
	Resume           bool
	Authenticated    policy.Authentication
	OnMismatch       policy.OnMismatch
	Rekey            Rekey

	set map[string]Position
}

// IsSet reports whether the rule itself says a key.
func (r *Rule) IsSet(key string) bool {
	_, ok := r.set[key]
	return ok
}

func prefixes(field func(*Rule) *[]netip.Prefix) keyfile.Kind[Rule] {
	return keyfile.List("prefixes or addresses", field, policy.ParsePrefix, false, false)
}

func ports(field func(*Rule) *[]policy.Range) keyfile.Kind[Rule] {
	return keyfile.List("ports or ranges", field, policy.ParsePorts, false, false)
}

type ruleWord[T any] = keyfile.Option[T]

// ruleKeys is the table of the keys of a rule.
var ruleKeys = showOnlyWhatIsSet(keyfile.Table[Rule]{
	{Name: "name", Kind: keyfile.Text("letters, digits, `.`, `_`, `-`", func(r *Rule) *string { return &r.Name }, policy.CheckName)},
	{Name: "source", Kind: prefixes(func(r *Rule) *[]netip.Prefix { return &r.Match.Source })},
	{Name: "destination", Kind: prefixes(func(r *Rule) *[]netip.Prefix { return &r.Match.Destination })},
	{Name: "inside", Kind: prefixes(func(r *Rule) *[]netip.Prefix { return &r.Match.Inside })},
	{Name: "outside", Kind: prefixes(func(r *Rule) *[]netip.Prefix { return &r.Match.Outside })},
	{Name: "ports", Kind: ports(func(r *Rule) *[]policy.Range { return &r.Match.Ports })},
	{Name: "source_ports", Kind: ports(func(r *Rule) *[]policy.Range { return &r.Match.SourcePorts })},
	{Name: "direction", Kind: keyfile.Choice(func(r *Rule) *policy.Direction { return &r.Match.Direction },
		ruleWord[policy.Direction]{Word: "any", Is: policy.AnyDirection}, ruleWord[policy.Direction]{Word: "outbound", Is: policy.Outbound}, ruleWord[policy.Direction]{Word: "inbound", Is: policy.Inbound})},
	{Name: "vlan", Kind: vlans()},
	{Name: "policy", Kind: keyfile.Choice(func(r *Rule) *flowtable.Policy { return &r.Policy },
		ruleWord[flowtable.Policy]{Word: "off", Is: flowtable.Disabled}, ruleWord[flowtable.Policy]{Word: "opportunistic", Is: flowtable.Opportunistic},
		ruleWord[flowtable.Policy]{Word: "require", Is: flowtable.Require}, ruleWord[flowtable.Policy]{Word: "disabled", Is: flowtable.Disabled})},
	{Name: "teps", Kind: keyfile.List(names(tcpcrypt.TEPs()), func(r *Rule) *[]tcpcrypt.TEP { return &r.TEPs }, named("key agreement", tcpcrypt.TEPs()), false, false)},
	{Name: "aeads", Kind: keyfile.List(names(tcpcrypt.AEADs()), func(r *Rule) *[]tcpcrypt.AEAD { return &r.AEADs }, named("cipher", tcpcrypt.AEADs()), false, false)},
	{Name: "application_aware", Kind: keyfile.Choice(func(r *Rule) *Awareness { return &r.ApplicationAware },
		ruleWord[Awareness]{Word: "off", Is: AwareOff}, ruleWord[Awareness]{Word: "on", Is: AwareOn}, ruleWord[Awareness]{Word: "mandatory", Is: AwareMandatory})},
	{Name: "resume", Kind: keyfile.Choice(func(r *Rule) *bool { return &r.Resume }, ruleWord[bool]{Word: "on", Is: true}, ruleWord[bool]{Word: "off", Is: false})},
	{Name: "authenticated", Kind: keyfile.Choice(func(r *Rule) *policy.Authentication { return &r.Authenticated },
		ruleWord[policy.Authentication]{Word: "no", Is: policy.AuthNone}, ruleWord[policy.Authentication]{Word: "yes", Is: policy.AuthDemand})},
	{Name: "on_mismatch", Kind: keyfile.Choice(func(r *Rule) *policy.OnMismatch { return &r.OnMismatch },
		ruleWord[policy.OnMismatch]{Word: "alarm", Is: policy.MismatchAlarm}, ruleWord[policy.OnMismatch]{Word: "reset", Is: policy.MismatchReset})},
	{Name: "rekey.frames", Kind: keyfile.Count(func(r *Rule) *uint64 { return &r.Rekey.Frames })},
	{Name: "rekey.bytes", Kind: keyfile.BigSize(func(r *Rule) *uint64 { return &r.Rekey.Bytes })},
	{Name: "rekey.time", Kind: keyfile.Duration(func(r *Rule) *time.Duration { return &r.Rekey.Time }, time.Second, 720*time.Hour)},
})

func vlans() keyfile.Kind[Rule] {
	k := keyfile.List("none, ID, OUTER.INNER or OUTER.*", func(r *Rule) *[]policy.Range { return &r.Match.VLANs }, policy.ParseVLAN, false, false)
	k.Show = func(r *Rule) string {
		var all []string
		for _, v := range r.Match.VLANs {
			all = append(all, policy.FormatVLAN(v))
		}
		return strings.Join(all, ",")
	}
	return k
}

// showOnlyWhatIsSet makes the keys of a rule show nothing of what the rule does not say itself.
func showOnlyWhatIsSet(t keyfile.Table[Rule]) keyfile.Table[Rule] {
	for i := range t {
		name, show := t[i].Name, t[i].Kind.Show
		t[i].Kind.Show = func(r *Rule) string {
			if !r.IsSet(name) {
				return ""
			}
			return show(r)
		}
	}
	return t
}

// longest is how long a text of rules may be for a log, in bytes.
const longest = 200

// rulesKind is the list of rules.
func rulesKind() kind {
	k := keyfile.Mappings("rules", policy.MaxRules-1, ruleKeys, func(c *Config) *[]Rule { return &c.Rules }, func() Rule { return Rule{} }, checkRule)
	k.Show = func(c *Config) string {
		text := flowForm(c.Rules)
		if len(text) <= longest {
			return text
		}
		h := fnv.New32a()
		h.Write([]byte(text))
		return fmt.Sprintf("%d rules, #%08x", len(c.Rules), h.Sum32())
	}
	return k
}

// flowForm writes rules as --set takes them.
func flowForm(rules []Rule) string {
	if len(rules) == 0 {
		return ""
	}
	var all []string
	for i := range rules {
		var pairs, nested []string
		for _, k := range ruleKeys {
			v := k.Kind.Show(&rules[i])
			if v == "" {
				continue
			}
			if k.Kind.List {
				v = `["` + strings.ReplaceAll(v, ",", `", "`) + `"]`
			}
			if name, ok := strings.CutPrefix(k.Name, "rekey."); ok {
				nested = append(nested, name+": "+v)
			} else {
				pairs = append(pairs, k.Name+": "+v)
			}
		}
		if len(nested) > 0 {
			pairs = append(pairs, "rekey: {"+strings.Join(nested, ", ")+"}")
		}
		all = append(all, "{"+strings.Join(pairs, ", ")+"}")
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func checkRule(r *Rule, set map[string]Position) error {
	switch r.set = set; r.Name {
	case "":
		return errors.New("a rule has no name: write `name: NAME`, for `sessions` and the metrics to call it by")
	case policy.DefaultRule:
		return fmt.Errorf("the name %s is that of what holds where no rule does", r.Name)
	}
	return r.Match.Check()
}

// settle returns a copy of the rule that says everything: what it does not say itself is as outside of rules.
func (c *Config) settle(r *Rule) Rule {
	full, def := *r, c.Spec()
	for key, take := range map[string]func(){
		"policy": func() { full.Policy = c.Policy }, "teps": func() { full.TEPs = c.TEPs }, "aeads": func() { full.AEADs = c.AEADs },
		"application_aware": func() { full.ApplicationAware = c.ApplicationAware },
		"resume":            func() { full.Resume = def.Resume },
		"authenticated":     func() { full.Authenticated = def.Authenticated },
		"on_mismatch":       func() { full.OnMismatch = def.OnMismatch },
		"rekey.frames":      func() { full.Rekey.Frames = c.Rekey.Frames },
		"rekey.bytes":       func() { full.Rekey.Bytes = c.Rekey.Bytes },
		"rekey.time":        func() { full.Rekey.Time = c.Rekey.Time },
	} {
		if !r.IsSet(key) {
			take()
		}
	}
	return full
}

// Spec returns what holds where no rule does.
func (c *Config) Spec() policy.Spec {
	s := policy.Spec{
		Policy: c.Policy, Aware: c.ApplicationAware != AwareOff, Mandatory: c.ApplicationAware == AwareMandatory,
		TEPs: c.TEPs, AEADs: c.AEADs, Resume: c.Resume, RekeyFrames: c.Rekey.Frames, RekeyBytes: c.Rekey.Bytes, RekeyTime: c.Rekey.Time,
	}
	if c.Authenticated {
		s.Authenticated = policy.AuthDemand
	}
	if c.OnMismatch == MismatchReset {
		s.OnMismatch = policy.MismatchReset
	}
	return s
}

// spec is of a rule that says everything.
func (r *Rule) spec() policy.Spec {
	return policy.Spec{
		Policy: r.Policy, Aware: r.ApplicationAware != AwareOff, Mandatory: r.ApplicationAware == AwareMandatory,
		Resume: r.Resume, Authenticated: r.Authenticated, OnMismatch: r.OnMismatch,
		TEPs: r.TEPs, AEADs: r.AEADs, RekeyFrames: r.Rekey.Frames, RekeyBytes: r.Rekey.Bytes, RekeyTime: r.Rekey.Time,
	}
}

// PolicyRules returns the rules in the form in which they decide. Validate has found them to be good.
func (c *Config) PolicyRules() []policy.Rule {
	all := make([]policy.Rule, 0, len(c.Rules))
	for i := range c.Rules {
		full := c.settle(&c.Rules[i])
		spec := full.spec()
		t, _ := spec.Terms()
		all = append(all, policy.Rule{Name: full.Name, Match: full.Match, Terms: t})
	}
	return all
}

// RuleSet returns the rules as a set, as policy.New makes it.
func (c *Config) RuleSet(earlier *policy.Set, used func(uint16) bool) (*policy.Set, error) {
	spec := c.Spec()
	t, err := spec.Terms()
	if err != nil {
		return nil, err
	}
	return policy.New(c.PolicyRules(), t, earlier, used)
}

// errRule is an error about a rule by its place.
func (c *Config) errRule(at int, key string, reason error) error {
	r := &c.Rules[at]
	pos, ok := r.set[key]
	if !ok {
		pos = r.set["name"]
	}
	name := fmt.Sprintf("rules[%d]", at)
	if key != "" {
		name += "." + key
	}
	return &Error{Position: pos, Key: name, Reason: reason}
}

// validateRules checks that no two rules have one name, and what follows from them together.
func (c *Config) validateRules() error {
	var errs []error
	places := make(map[string]int, len(c.Rules))
	for i := range c.Rules {
		r := &c.Rules[i]
		full := c.settle(r)
		spec := full.spec()
		_, err := spec.Terms()
		if full.Authenticated == policy.AuthDemand && err == nil {
			err = c.demandable(&full)
		}
		if other, ok := places[r.Name]; ok {
			err = fmt.Errorf("%s is the name of rules[%d] too, in line %d", r.Name, other, c.Rules[other].set["name"].Line)
		}
		places[r.Name] = i
		if err != nil && len(errs) < keyfile.MaxErrors {
			errs = append(errs, c.errRule(i, "name", err))
		}
	}
	if len(errs) == 0 && len(c.Rules) > 0 {
		if set, err := c.RuleSet(nil, nil); err != nil {
			errs = append(errs, c.Err("rules", err))
		} else if _, err := set.Image(); err != nil {
			errs = append(errs, c.Err("rules", err))
		}
	}
	return errors.Join(errs...)
}

// demandable refuses a rule that demands authentication where nobody could give it, or where it would be easy to get around.
func (c *Config) demandable(r *Rule) error {
	switch {
	case len(c.Peers) == 0:
		return errors.New("authenticated: no peers are listed, so that no far end could ever be authenticated")
	case r.Policy == flowtable.Opportunistic:
		return errors.New("authenticated: with policy opportunistic whoever is in the middle needs only make sure that a connection is not encrypted: write policy: require too")
	}
	return nil
}

// WithPublished returns a copy of the configuration in which what decides is as an earlier control plane published it: the terms where no
// rule holds, and the set, nil where there is none.
func (c *Config) WithPublished(t *policy.Terms, set *policy.Set) *Config {
	left := *c
	left.Policy, left.ApplicationAware = t.Policy, awarenessOf(t)
	left.TEPs, left.AEADs = choicesOf(t)
	left.Resume, left.Authenticated, left.OnMismatch = t.Resume, t.Authenticated == policy.AuthDemand, MismatchAlarm
	if t.OnMismatch == policy.MismatchReset {
		left.OnMismatch = MismatchReset
	}
	left.Rekey.Frames, left.Rekey.Bytes, left.Rekey.Time = t.RekeyFrames, t.RekeyBytes, time.Duration(t.RekeyTime)
	if left.Rules = nil; set != nil {
		for _, r := range set.Rules() {
			left.Rules = append(left.Rules, ruleOf(&r))
		}
	}
	return &left
}

// ruleOf is a rule that says everything itself.
func ruleOf(r *policy.Rule) Rule {
	t := &r.Terms
	rule := Rule{
		Name: r.Name, Match: r.Match, Policy: t.Policy, Resume: t.Resume, Authenticated: t.Authenticated, OnMismatch: t.OnMismatch,
		ApplicationAware: awarenessOf(t), set: map[string]Position{},
	}
	rule.Rekey.Frames, rule.Rekey.Bytes, rule.Rekey.Time = t.RekeyFrames, t.RekeyBytes, time.Duration(t.RekeyTime)
	rule.TEPs, rule.AEADs = choicesOf(t)
	for _, k := range ruleKeys {
		rule.set[k.Name] = Position{}
	}
	return rule
}

func awarenessOf(t *policy.Terms) Awareness {
	switch {
	case t.Mandatory:
		return AwareMandatory
	case t.Aware:
		return AwareOn
	}
	return AwareOff
}

func choicesOf(t *policy.Terms) (teps []tcpcrypt.TEP, aeads []tcpcrypt.AEAD) {
	for _, x := range t.TEPs() {
		teps = append(teps, tcpcrypt.TEP(x))
	}
	for _, x := range t.AEADs() {
		aeads = append(aeads, tcpcrypt.AEAD(x))
	}
	return teps, aeads
}

// rulesDiffer compares the rules of two configurations.
type rulesDiffer struct {
	old      []policy.Rule
	fresh    []policy.Rule // with the default rule at the end
	now      *Config
	places   map[string]int  // of fresh rules
	before   map[string]bool // names of old ones
	weakened []Change
	unsaid   []error
}

// RuleChanges compares the rules of two configurations. Weakened tells what is protected less than before. Each of unsaid is an error about
// something of it that nobody has asked for: what a rule has from a default that nobody gave, and rules that are not in the file any more,
// whose connections go by another rule that was there before. The file is where the word belongs.
func RuleChanges(old, fresh *Config, file string) (weakened []Change, unsaid []error) {
	d := rulesDiffer{old: old.PolicyRules(), fresh: fresh.PolicyRules(), now: fresh, places: map[string]int{}, before: map[string]bool{policy.DefaultRule: true}}
	for i := range d.fresh {
		d.places[d.fresh[i].Name] = i
	}
	for i := range d.old {
		d.before[d.old[i].Name] = true
	}
	spec := fresh.Spec()
	def, err := spec.Terms()
	if err != nil {
		return nil, []error{err}
	}
	d.fresh = append(d.fresh, policy.Rule{Name: policy.DefaultRule, Terms: def})
	for i := range d.old {
		if at, ok := d.places[d.old[i].Name]; ok && d.fresh[at].Match.Equal(&d.old[i].Match) {
			d.sameMatch(&d.old[i], at)
		} else {
			d.gone(&d.old[i], file)
		}
	}
	for j := range fresh.Rules {
		if !d.before[d.fresh[j].Name] {
			d.added(j)
		}
	}
	return d.weakened, d.unsaid[:min(len(d.unsaid), keyfile.MaxErrors)]
}

// weaker notes that what went by one rule now goes by another.
func (d *rulesDiffer) weaker(r, n *policy.Rule, w policy.Weakness) {
	if len(d.weakened) < keyfile.MaxErrors {
		d.weakened = append(d.weakened, Change{Key: fmt.Sprintf("rule %s: %s", r.Name, w.Key), Old: w.Old, New: fmt.Sprintf("%s by rule %s", w.New, n.Name)})
	}
}

// sameMatch compares a rule with what it was.
func (d *rulesDiffer) sameMatch(r *policy.Rule, at int) {
	for _, w := range policy.Weaker(&r.Terms, &d.fresh[at].Terms) {
		d.weaker(r, &d.fresh[at], w)
		d.ask(at, w, fmt.Sprintf("protects less than before (%v)", w))
	}
}

// ask notes an error where neither a rule nor the keys outside of rules have the word for something.
func (d *rulesDiffer) ask(at int, w policy.Weakness, what string) {
	if !d.now.Rules[at].IsSet(w.Key) && !d.now.IsSet(w.Key) {
		d.unsaid = append(d.unsaid, d.now.errRule(at, w.Key, fmt.Errorf("the key is not given, and its default %s; to have it so, write it into rule %s", what, d.now.Rules[at].Name)))
	}
}

// gone looks for the rules by which the connections of a rule go that is not there any more, or is about others. A list without it is the
// word for that; a file without a list is none.
func (d *rulesDiffer) gone(r *policy.Rule, file string) {
	for j := range d.fresh {
		n := &d.fresh[j]
		if !r.Match.Overlaps(&n.Match) {
			continue
		}
		if ws := policy.Weaker(&r.Terms, &n.Terms); len(ws) > 0 {
			d.weaker(r, n, ws[0])
			if !d.now.IsSet("rules") {
				d.unsaid = append(d.unsaid, &Error{Position: Position{File: file}, Key: "rules", Reason: fmt.Errorf(
					"the key is not given, so that rule %s is not there any more, and what it was about would be protected less, by rule %s (%v); to have it so, write rules: []",
					r.Name, n.Name, ws[0])})
			}
			return
		}
		if n.Match.Contains(&r.Match) {
			return
		}
	}
}

// added looks for old rules before which a new one stands.
func (d *rulesDiffer) added(j int) {
	n := &d.fresh[j]
	for i := range d.old {
		r := &d.old[i]
		if at, ok := d.places[r.Name]; !ok || at < j || !r.Match.Overlaps(&n.Match) {
			continue
		}
		if ws := policy.Weaker(&r.Terms, &n.Terms); len(ws) > 0 {
			d.weaker(r, n, ws[0])
			d.ask(j, ws[0], fmt.Sprintf("protects less than rule %s, before which this one stands (%v)", r.Name, ws[0]))
			return
		}
	}
}

// Words returns changes as texts, without repetitions.
func Words(changes []Change) []string {
	all := []string{}
	for _, c := range changes {
		if s := c.String(); !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}
