package connections

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Connection is an encrypted connection, one in the clear, or one that was refused, as it is printed.
type Connection struct {
	Client    string  `json:"client"` // of the end that opened the connection, address:port; the host inside where that is not known
	Server    string  `json:"server"`
	VLAN      uint32  `json:"vlan,omitempty"` // an inner tag has the outer one's ID, shifted by 12 bits, in front of it
	State     string  `json:"state"`          // encrypted, plain or refused
	Role      string  `json:"role"`           // of the gateway: A or B
	TEP       string  `json:"tep"`            // without the v bit, 0x23
	AEAD      string  `json:"aead"`
	SessionID string  `json:"session_id"` // hexadecimal, TEP byte first; empty while it is not published
	Resumed   bool    `json:"resumed"`
	OwnAware  bool    `json:"own_aware"` // application-aware bits
	PeerAware bool    `json:"peer_aware"`
	Auth      string  `json:"auth"`             // none, waiting, authenticated or mismatch
	Rule      string  `json:"rule"`             // name of the policy rule that decided
	Verdict   string  `json:"verdict"`          // what that rule said: opportunistic, require or disabled
	Reason    string  `json:"reason,omitempty"` // why it is in the clear, or was refused: the name of a counter without plain_, refused_ or abort_
	Because   string  `json:"because,omitempty"`
	Sealed    Traffic `json:"sealed"`
	Opened    Traffic `json:"opened"`
	Rate      float64 `json:"rate_bps"` // bit/s of the application's data, both ways; 0 unless it was measured
	IdleS     float64 `json:"idle_s"`   // since the last packet, or the last acceptable one of an encrypted connection
	AgeS      float64 `json:"age_s"`    // of a refused one, since it was refused

	Key     flowtable.Key `json:"-"`
	Ref     shm.FlowRef   `json:"-"`
	Created int64         `json:"-"` // ns of CLOCK_MONOTONIC; of a refused one in a list, when it was refused
}

// Traffic counts frames, and the bytes of the application in them, and tells the number of the key generation in use.
type Traffic struct {
	Frames     uint64 `json:"frames"`
	Bytes      uint64 `json:"bytes"`
	Generation uint32 `json:"generation"` // RFC 8548 section 3.8, from 0 on
}

// The states of connections that are listed.
const (
	Encrypted = "encrypted"
	Plain     = "plain"
	Refused   = "refused"
)

// IDs is where session IDs are looked up: the session table.
type IDs interface {
	Lookup(key *flowtable.Key, e *sessiontable.Entry) bool
}

// ListEncrypted returns the encrypted connections, the oldest first. The list is never nil. Ids may be nil.
func ListEncrypted(seg *shm.Segment, ids IDs) ([]Connection, error) {
	return list(seg, flowtable.Encrypted, ids)
}

// ListPlain returns the connections that pass in the clear, the oldest first. Those whose opener is not proven real are not among them: there
// may be many that nobody is at the other end of. The list is never nil.
func ListPlain(seg *shm.Segment) ([]Connection, error) { return list(seg, flowtable.Plain, nil) }

func list(seg *shm.Segment, state flowtable.State, ids IDs) ([]Connection, error) {
	found := []Connection{}
	l := lister{seg: seg, now: monotonic(), ids: ids}
	l.rules, _ = RuleSet(seg) // no name is known while there are none
	for i := range seg.Workers() {
		table, err := seg.Worker(i).Flows()
		if err != nil {
			return nil, fmt.Errorf("worker %d: %w", i, err)
		}
		found = l.append(found, uint16(i), table, state)
	}
	slices.SortStableFunc(found, oldestFirst)
	return found, nil
}

func oldestFirst(a, b Connection) int { return cmp.Compare(a.Created, b.Created) }

// lister reads the records of one segment.
type lister struct {
	seg   *shm.Segment
	now   int64
	ids   IDs
	rules *policy.Set // in force, nil for none
}

// append copies what the records of a table in a state say. Its worker goes on meanwhile: a record that was handed to another connection while
// it was read is left out.
func (l *lister) append(to []Connection, worker uint16, table *flowtable.Table, state flowtable.State) []Connection {
	table.Range(func(i flowtable.Index, r *flowtable.Record) bool {
		gen := r.Gen
		if r.State != state {
			return true
		}
		c := l.connection(shm.FlowRef{Worker: worker, Index: i, Gen: gen}, r, state)
		if r.State == state && r.Gen == gen {
			to = append(to, c)
		}
		return true
	})
	return to
}

func (l *lister) connection(ref shm.FlowRef, r *flowtable.Record, state flowtable.State) Connection {
	c := Connection{Key: r.Key, Ref: ref, Created: r.Rare.Created, State: Plain, VLAN: r.Key.VLAN}
	c.Client, c.Server = endpoint(r.Key.Inside, r.Key.InsidePort), endpoint(r.Key.Outside, r.Key.OutsidePort)
	if r.Flags&flowtable.FlagActive == 0 && r.Flags&flowtable.FlagMet == 0 {
		c.Client, c.Server = c.Server, c.Client
	}
	c.AgeS, c.IdleS = seconds(l.now-r.Rare.Created), seconds(l.now-r.LastSeen)
	c.Rule, c.Verdict, c.Auth = l.rule(r.Rule), r.Verdict.String(), sessiontable.AuthNone.String()
	if state == flowtable.Plain {
		c.Reason, c.Because = Reason(l.seg.Counters(), shm.Counter(r.Rare.Abort))
		return c
	}
	c.State, c.Role, c.TEP, c.AEAD = Encrypted, r.Role.String(), fmt.Sprintf("0x%02x", r.TEP&0x7f), tcpcrypt.AEAD(r.AEAD).String()
	c.Sealed = traffic(r.Egress.WNext-uint64(r.Rare.SealInit), r.Egress.PNext, r.Egress.Bytes(), r.Rare.SealGen)
	c.Opened = traffic(r.Ingress.WOpen-uint64(r.Rare.OpenInit), r.Ingress.PNext, r.Ingress.Bytes(), r.Rare.OpenGen)
	c.publish(l.ids)
	return c
}

// publish adds what the session table has of the connection. An entry of an earlier connection between the same ports does not count.
func (c *Connection) publish(ids IDs) {
	var e sessiontable.Entry
	if ids == nil || !ids.Lookup(&c.Key, &e) || e.Worker != c.Ref.Worker || e.Index != c.Ref.Index || e.Gen != c.Ref.Gen {
		return
	}
	c.SessionID, c.Auth = hex.EncodeToString(e.SessionID[:]), e.Auth.String()
	c.Resumed, c.OwnAware, c.PeerAware = e.Resumed, e.OwnAware, e.PeerAware
}

// rule is the name of the rule that a connection was decided on by, empty where it is not known.
func (l *lister) rule(ref flowtable.RuleRef) string {
	if l.rules == nil {
		return ""
	}
	name, _ := l.rules.Name(ref)
	return name
}

// RuleSet returns the rules in force, which also name those of earlier sets that connections still have.
func RuleSet(seg *shm.Segment) (*policy.Set, error) {
	var r shm.Rules
	var err error
	for range 3 { // others may come into force while they are read
		if !seg.Rules(&r) {
			return nil, fmt.Errorf("instance %q has no rules yet: it is starting", seg.Name())
		}
		var set *policy.Set
		if set, err = seg.RuleSet(r.Set); err == nil {
			return set, nil
		}
	}
	return nil, err
}

// Reason returns why a connection is in the clear or was refused, as a name and in words; of a reason that is not known, nothing.
func Reason(table *shm.Table, c shm.Counter) (name, because string) {
	info := table.Info(c)
	kind, known := reasons[info.Kind]
	if !known {
		return "", ""
	}
	because = info.Help
	if _, cause, found := strings.Cut(because, " because "); found {
		because = cause
	}
	return strings.TrimPrefix(info.Name, kind), because
}

// reasons are the kinds of counters that are reasons, with what the names of each begin with.
var reasons = map[shm.Kind]string{shm.KindPlain: "plain_", shm.KindRefusal: "refused_", shm.KindAbort: "abort_"}

// traffic is what has passed of a direction whose frames take wire bytes and carry the plaintext up to a position: the packet path does
// not count frames, each is longer than its data by its overhead. One with urgent data is longer by 2 more, so that ten of these
// count as eleven.
func traffic(wire, plain, bytes uint64, generation uint32) Traffic {
	return Traffic{Frames: (max(wire, plain) - plain) / tcpcrypt.Overhead, Bytes: bytes, Generation: generation}
}

// Measure fills in the rates from what the same connections had sealed and opened earlier.
func Measure(now, before []Connection, between time.Duration) {
	bytes := make(map[shm.FlowRef]uint64, len(before))
	for i := range before {
		bytes[before[i].Ref] = before[i].Sealed.Bytes + before[i].Opened.Bytes
	}
	for i := range now {
		c := &now[i]
		if b, ok := bytes[c.Ref]; ok && between > 0 {
			c.Rate = math.Round(float64(c.Sealed.Bytes+c.Opened.Bytes-b) * 8 / between.Seconds())
		}
	}
}

// endpoint prints IPv4 as 192.0.2.1:80 and IPv6 as [2001:db8::1]:80.
func endpoint(addr [16]byte, port uint16) string {
	return netip.AddrPortFrom(netip.AddrFrom16(addr).Unmap(), port).String()
}

// seconds are ns as they are printed, to the millisecond.
func seconds(ns int64) float64 {
	return math.Round(time.Duration(max(0, ns)).Seconds()*1000) / 1000
}

// monotonic returns CLOCK_MONOTONIC in ns, which the data plane stamps records with.
func monotonic() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0
	}
	return ts.Nano()
}
