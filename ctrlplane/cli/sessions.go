package cli

import (
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

var sessionsCommand = command{
	name:    "sessions",
	args:    "[--json | --watch] [--name NAME]",
	summary: "encrypted connections of a running gateway",
	details: "Lists the connections that a running instance encrypts, the oldest first, with their session IDs. It works also while\nthe control plane is away. --watch prints a line of JSON for each that there is, comes, changes or goes, until it is interrupted.",
	define: func(a *App, fs *flag.FlagSet) func() error {
		look := addLookFlags(fs)
		watch := fs.Bool("watch", false, "print sessions as they come and go, a line of JSON each")
		return func() error {
			if *watch {
				return a.watch(*look.name)
			}
			return look.with(func(in *instance.Instance, s *shm.Segment) error {
				list, err := readSessions(in, s)
				if err != nil {
					return err
				}
				if *look.json {
					return printJSON(a.Stdout, list)
				}
				return printSessions(a.Stdout, list)
			})
		}
	},
}

// Session is an encrypted connection as `sessions --json` prints it.
type Session struct {
	Client    string  `json:"client"` // of the end that opened the connection, address:port
	Server    string  `json:"server"`
	Role      string  `json:"role"` // of the gateway: A or B
	TEP       string  `json:"tep"`  // without the v bit, 0x23
	AEAD      string  `json:"aead"`
	SessionID string  `json:"session_id"` // hexadecimal, TEP byte first; empty while it is not published
	Resumed   bool    `json:"resumed"`
	OwnAware  bool    `json:"own_aware"` // application-aware bits
	PeerAware bool    `json:"peer_aware"`
	Auth      string  `json:"auth"`    // none, waiting, authenticated or mismatch
	Rule      string  `json:"rule"`    // name of the policy rule that decided
	Verdict   string  `json:"verdict"` // what that rule said: opportunistic or require
	Sealed    Traffic `json:"sealed"`
	Opened    Traffic `json:"opened"`
	AgeS      float64 `json:"age_s"`
}

// Traffic counts frames, and the bytes of the application in them, and tells the number of the key generation in use.
type Traffic struct {
	Frames     uint64 `json:"frames"`
	Bytes      uint64 `json:"bytes"`
	Generation uint32 `json:"generation"` // RFC 8548 section 3.8, from 0 on
}

// traffic is what has passed of a direction whose frames take wire bytes and carry the plaintext up to a position: the packet path does
// not count frames, each is longer than its data by its overhead. One with urgent data is longer by 2 more, so that ten of these
// count as eleven.
func traffic(wire, plain, bytes uint64, generation uint32) Traffic {
	return Traffic{Frames: (max(wire, plain) - plain) / tcpcrypt.Overhead, Bytes: bytes, Generation: generation}
}

// connection is what is copied of a flow record: all but the keys.
type connection struct {
	ref            shm.FlowRef
	key            flowtable.Key
	rule           flowtable.RuleRef
	verdict        flowtable.Policy
	active         bool
	role           flowtable.Role
	tep            uint8
	aead           uint16
	created        int64 // ns of the monotonic clock
	sealed, opened Traffic
}

// readSessions lists the encrypted connections, the oldest first. The list is never nil.
func readSessions(in *instance.Instance, s *shm.Segment) ([]Session, error) {
	ids, done, err := openSessionIDs(in)
	if err != nil {
		return nil, err
	}
	defer done()
	var found []connection
	for i := range s.Workers() {
		table, err := flows(s, i)
		if err != nil {
			return nil, err
		}
		found = appendConnections(found, uint16(i), table)
	}
	slices.SortStableFunc(found, func(a, b connection) int { return int(min(1, max(-1, a.created-b.created))) })
	now := monotonic()
	set, err := ruleSet(s)
	if err != nil {
		set = nil // no name is known while there are no rules
	}
	list := make([]Session, 0, len(found))
	for i := range found {
		list = append(list, found[i].session(ids, now))
		list[i].Rule = ruleName(set, found[i].rule)
	}
	return list, nil
}

// appendConnections copies what the encrypted records of a table say. Its worker goes on meanwhile: a record that was handed
// to another connection while it was read is left out.
func appendConnections(list []connection, worker uint16, table *flowtable.Table) []connection {
	table.Range(func(i flowtable.Index, r *flowtable.Record) bool {
		gen := r.Gen
		if r.State != flowtable.Encrypted {
			return true
		}
		c := connection{
			ref: shm.FlowRef{Worker: worker, Index: i, Gen: gen}, key: r.Key, rule: r.Rule, verdict: r.Verdict, active: r.Flags&flowtable.FlagActive != 0,
			role: r.Role, tep: r.TEP, aead: r.AEAD, created: r.Rare.Created,
			sealed: traffic(r.Egress.WNext-uint64(r.Rare.SealInit), r.Egress.PNext, r.Egress.Bytes(), r.Rare.SealGen),
			opened: traffic(r.Ingress.WOpen-uint64(r.Rare.OpenInit), r.Ingress.PNext, r.Ingress.Bytes(), r.Rare.OpenGen),
		}
		if r.State == flowtable.Encrypted && r.Gen == gen {
			list = append(list, c)
		}
		return true
	})
	return list
}

// session is the connection, with what ids has of it, in the form in which it is printed. Now is in ns of the monotonic clock.
func (c *connection) session(ids idTable, now int64) Session {
	e, ok := c.published(ids)
	id := e.SessionID[:]
	if !ok {
		id = nil
	}
	client, server := endpoint(c.key.Inside, c.key.InsidePort), endpoint(c.key.Outside, c.key.OutsidePort)
	if !c.active {
		client, server = server, client
	}
	age := time.Duration(max(0, now-c.created)).Seconds()
	return Session{
		Client: client, Server: server, Role: c.role.String(),
		TEP: fmt.Sprintf("0x%02x", c.tep&0x7f), AEAD: tcpcrypt.AEAD(c.aead).String(), SessionID: hex.EncodeToString(id),
		Resumed: e.Resumed, OwnAware: e.OwnAware, PeerAware: e.PeerAware, Auth: e.Auth.String(), Verdict: c.verdict.String(),
		Sealed: c.sealed, Opened: c.opened, AgeS: math.Round(age*1000) / 1000,
	}
}

// ruleName is the name of the rule that a connection was decided on by, empty where it is not known.
func ruleName(set *policy.Set, ref flowtable.RuleRef) string {
	if set == nil {
		return ""
	}
	name, _ := set.Name(ref)
	return name
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// endpoint prints IPv4 as 192.0.2.1:80 and IPv6 as [2001:db8::1]:80.
func endpoint(addr [16]byte, port uint16) string {
	return netip.AddrPortFrom(netip.AddrFrom16(addr).Unmap(), port).String()
}

// monotonic returns CLOCK_MONOTONIC in ns, which the data plane stamps records with.
func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano()
}

func printSessions(out io.Writer, list []Session) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no encrypted connections")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CLIENT\tSERVER\tROLE\tTEP\tAEAD\tSEALED\tOPENED\tKEYS\tRULE\tAGE\tFAR END\tSESSION ID")
	for i := range list {
		s := &list[i]
		age := time.Duration(s.AgeS * float64(time.Second)).Round(time.Second)
		fmt.Fprintln(w, strings.Join([]string{s.Client, s.Server, s.Role, s.TEP, s.AEAD, s.Sealed.String(), s.Opened.String(), fmt.Sprintf("%d/%d", s.Sealed.Generation, s.Opened.Generation), orDash(s.Rule), age.String(), s.Auth, s.SessionID}, "\t"))
	}
	return w.Flush()
}

// String returns for example "3 frames, 4.2 kB".
func (t Traffic) String() string {
	return fmt.Sprintf("%d frames, %s", t.Frames, humanBytes(t.Bytes))
}

func humanBytes(n uint64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	f, u := float64(n), 0
	for f >= 1000 && u < len(units)-1 {
		f /= 1000
		u++
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}
