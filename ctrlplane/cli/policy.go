package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"text/tabwriter"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

var policyCommand = command{
	name:    "policy",
	args:    "test|list [SRC[:PORT] DST[:PORT] [--vlan VLAN] [--direction outbound|inbound]] [--config FILE] [--json] [--name NAME]",
	summary: "which rule a connection goes by",
	details: `test says which rule a connection from SRC to DST goes by, and what that rule demands; SRC opens it. Without --direction a connection
is taken to be opened by a host inside. list prints the rules in order, with what became of the connections of each. Both ask the rules
that are in force in a running instance; with --config, those of a file.`,
	takes: 3,
	fewer: true,
	define: func(a *App, fs *flag.FlagSet) func() error {
		look := addLookFlags(fs)
		file := fs.String("config", "", "ask the rules of `FILE`, not those in force")
		vlan := fs.String("vlan", "none", "`VLAN` that the connection is in: an ID, or OUTER.INNER")
		direction := fs.String("direction", "outbound", "who opens it, a host inside or one outside: `outbound|inbound` (default outbound)")
		return func() error {
			q := policyQuestion{app: a, look: look, file: *file}
			args := fs.Args()
			if len(args) == 1 && args[0] == "list" {
				return q.with(q.list)
			}
			if len(args) != 3 || args[0] != "test" {
				return &usageError{"policy", errors.New("want test SRC[:PORT] DST[:PORT], or list")}
			}
			k, opener, err := connectionOf(args[1], args[2], *vlan, *direction)
			if err != nil {
				return err
			}
			return q.with(func(set *policy.Set, _ *shm.Segment) error { return q.test(set, k, opener) })
		}
	},
}

// policyQuestion is a question about rules.
type policyQuestion struct {
	app  *App
	look lookFlags
	file string
}

// with calls f with the rules that are asked, and with the segment that they come from, if any.
func (q *policyQuestion) with(f func(*policy.Set, *shm.Segment) error) error {
	if q.file != "" {
		c, err := config.Load(q.file)
		if err != nil {
			return err
		}
		set, err := c.RuleSet(nil, nil)
		if err != nil {
			return err
		}
		return f(set, nil)
	}
	return q.look.with(func(_ *instance.Instance, s *shm.Segment) error {
		set, err := connections.RuleSet(s)
		if err != nil {
			return err
		}
		return f(set, s)
	})
}

// connectionOf returns the connection that words describe. A port that is not given is 0.
func connectionOf(src, dst, vlan, direction string) (*flowtable.Key, flowtable.Side, error) {
	from, err := parseEnd(src)
	if err != nil {
		return nil, 0, err
	}
	to, err := parseEnd(dst)
	if err != nil {
		return nil, 0, err
	}
	if from.Addr().Is4() != to.Addr().Is4() {
		return nil, 0, fmt.Errorf("%s and %s are of different IP versions", src, dst)
	}
	v, err := policy.ParseVLAN(vlan)
	if err == nil && v.Low != v.High {
		err = fmt.Errorf("a connection is in one VLAN, not in %s", vlan)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("--vlan: %w", err)
	}
	opener := flowtable.Inside
	switch direction {
	case "outbound":
	case "inbound":
		from, to, opener = to, from, flowtable.Outside
	default:
		return nil, 0, fmt.Errorf("--direction: %q is neither outbound nor inbound", direction)
	}
	return &flowtable.Key{
		Inside: from.Addr().As16(), InsidePort: from.Port(), Outside: to.Addr().As16(), OutsidePort: to.Port(), VLAN: v.Low,
	}, opener, nil
}

// parseEnd reads an address with or without a port.
func parseEnd(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil && a.Zone() == "" {
		return netip.AddrPortFrom(a.Unmap(), 0), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil || ap.Addr().Zone() != "" {
		return ap, fmt.Errorf("%q is neither an address nor address:port, as 192.0.2.1:443 or [2001:db8::1]:443", s)
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), nil
}

// RuleInfo is a rule as `policy --json` prints it.
type RuleInfo struct {
	Place         int               `json:"place"` // from 1
	Name          string            `json:"name"`
	Match         string            `json:"match"`
	Policy        string            `json:"policy"`
	Aware         string            `json:"application_aware"`
	Resume        bool              `json:"resume"`
	Authenticated bool              `json:"authenticated"`
	OnMismatch    string            `json:"on_mismatch"`
	TEPs          []string          `json:"teps"`
	AEADs         []string          `json:"aeads"`
	RekeyFrames   uint64            `json:"rekey_frames"`
	RekeyBytes    uint64            `json:"rekey_bytes"`
	RekeyS        float64           `json:"rekey_s"`
	Connections   map[string]uint64 `json:"connections,omitempty"` // by verdict
}

// ruleInfo describes rule i of a set.
func ruleInfo(set *policy.Set, i int, s *shm.Segment) RuleInfo {
	r := set.Rule(i)
	t := &r.Terms
	info := RuleInfo{
		Place: i + 1, Name: r.Name, Match: r.Match.String(), Policy: ruleWord(t.Policy), Aware: "off", Resume: t.Resume,
		Authenticated: t.Authenticated == policy.AuthDemand, OnMismatch: "alarm",
		RekeyFrames: t.RekeyFrames, RekeyBytes: t.RekeyBytes, RekeyS: float64(t.RekeyTime) / 1e9,
	}
	switch {
	case t.Mandatory:
		info.Aware = "mandatory"
	case t.Aware:
		info.Aware = "on"
	}
	if t.OnMismatch == policy.MismatchReset {
		info.OnMismatch = "reset"
	}
	for _, x := range t.TEPs() {
		info.TEPs = append(info.TEPs, tcpcrypt.TEP(x).String())
	}
	for _, x := range t.AEADs() {
		info.AEADs = append(info.AEADs, tcpcrypt.AEAD(x).String())
	}
	if s != nil {
		info.Connections = map[string]uint64{}
		for v := range policy.Verdict(policy.NumVerdicts) {
			info.Connections[v.String()] = s.RuleConnections(set.Ref(i).Slot(), v)
		}
	}
	return info
}

// ruleWord is the word of rules for a policy.
func ruleWord(p flowtable.Policy) string {
	if p == flowtable.Disabled {
		return "off"
	}
	return p.String()
}

func (q *policyQuestion) test(set *policy.Set, k *flowtable.Key, opener flowtable.Side) error {
	info := ruleInfo(set, set.Classify(k, opener), nil)
	if *q.look.json {
		return printJSON(q.app.Stdout, info)
	}
	w := tabwriter.NewWriter(q.app.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "rule\t%s (%d of %d)\nmatch\t%s\npolicy\t%s\n", info.Name, info.Place, set.Len(), info.Match, info.Policy)
	if info.Policy != "off" {
		fmt.Fprintf(w, "application-aware\t%s\nauthenticated\t%s\nresume\t%s\nteps\t%s\naeads\t%s\n", info.Aware, yes(info.Authenticated), yes(info.Resume),
			strings.Join(info.TEPs, ", "), strings.Join(info.AEADs, ", "))
	}
	return w.Flush()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (q *policyQuestion) list(set *policy.Set, s *shm.Segment) error {
	all := make([]RuleInfo, 0, set.Len())
	for i := range set.Len() {
		all = append(all, ruleInfo(set, i, s))
	}
	if *q.look.json {
		return printJSON(q.app.Stdout, all)
	}
	return printRules(q.app.Stdout, all)
}

func printRules(out io.Writer, all []RuleInfo) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tRULE\tPOLICY\tENCRYPTED\tCLEAR\tREFUSED\tOFF\tMATCH")
	for _, r := range all {
		count := func(v policy.Verdict) string {
			if r.Connections == nil {
				return "-"
			}
			return strconv.FormatUint(r.Connections[v.String()], 10)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Place, r.Name, r.Policy, count(policy.Encrypted), count(policy.Clear), count(policy.Refused), count(policy.Off), r.Match)
	}
	return w.Flush()
}
