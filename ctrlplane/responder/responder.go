package responder

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// errRandomness marks errors of the source of randomness.
var errRandomness = errors.New("no randomness")

// Responder answers handshake requests. HandleBatch, Handle and SetTerms may be called at the same time where the source
// of randomness may be read so, as crypto/rand.Reader may.
type Responder struct {
	policies atomic.Pointer[policies]
	changing sync.Mutex // held while policies change
	rand     source
	kept     atomic.Pointer[kept]
	stats    Stats
}

// New returns a responder. rand, outside of tests crypto/rand.Reader, gives ephemeral keys and nonces. The error wraps
// ErrTerms.
func New(p Terms, rand io.Reader) (*Responder, error) {
	r := &Responder{rand: source{rand}}
	if err := r.SetTerms(p); err != nil {
		return nil, err
	}
	return r, nil
}

// SetTerms replaces the policy for requests that are handled from now on. A handshake whose ENO option is out goes on by
// that option, and by the new policy where RFC 8547 still leaves a choice. With an error, which wraps ErrTerms, the old
// policy stays.
func (r *Responder) SetTerms(p Terms) error {
	return r.SetTermsUsed(p, nil)
}

// SetTermsUsed is SetTerms where the names of rules that are gone are forgotten unless used says that connections still have them.
func (r *Responder) SetTermsUsed(p Terms, used func(slot uint16) bool) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	set, err := p.set(r.Set(), used)
	if err != nil {
		return fmt.Errorf("responder: %w", err)
	}
	if old := r.Set(); old == nil || !old.Same(set) {
		r.put(set)
	}
	return nil
}

// Continue makes the rules in force follow a set that an earlier control plane left: a rule keeps its place in the table of names, and
// connections that the data plane has decided on by that set go on by it.
func (r *Responder) Continue(left *policy.Set) error {
	r.changing.Lock()
	defer r.changing.Unlock()
	now := r.Set()
	if now.Same(left) {
		r.policies.Store(&policies{compile(left)})
		return nil
	}
	set, err := policy.New(now.Rules(), *now.Default(), left, nil)
	if err != nil {
		return fmt.Errorf("responder: %w", err)
	}
	r.policies.Store(&policies{compile(left)})
	r.put(set)
	return nil
}

// put puts a set in force.
func (r *Responder) put(set *policy.Set) {
	fresh := policies{compile(set)}
	if old := r.policies.Load(); old != nil {
		fresh = append(fresh, (*old)[:min(len(*old), keptSets-1)]...)
	}
	r.policies.Store(&fresh)
}

// Set returns the set of rules in force, nil where there is none yet.
func (r *Responder) Set() *policy.Set {
	if p := r.policies.Load(); p != nil {
		return (*p)[0].set
	}
	return nil
}

// Rules returns what is in force in the form in which the data plane decides by it; Set has the rules themselves. It tries the source of randomness.
func (r *Responder) Rules() shm.Rules {
	set := r.Set()
	return shm.Rules{Terms: *set.Default(), Usable: r.rand.works(), Set: set.Number()}
}

// Decided returns the terms of a connection that was decided on by a rule: where nobody has them any more, those that a rule of that name
// has now, else what protects most.
func (r *Responder) Decided(ref flowtable.RuleRef) *policy.Terms {
	p := *r.policies.Load()
	rules := p.of(ref)
	if rules == nil {
		now := flowtable.NewRuleRef(p[0].set.Number(), ref.Slot())
		rules = p.of(now)
	}
	if rules == nil {
		return &policy.Terms{Policy: flowtable.Require, Authenticated: policy.AuthDemand, OnMismatch: policy.MismatchReset}
	}
	return &rules.terms
}

// Stats returns the responder's counters.
func (r *Responder) Stats() *Stats { return &r.stats }

// HandleBatch answers reqs[i] by replies[i]; replies must be as long as reqs. A request that has no answer, Closed, leaves
// Kind 0. One policy serves the whole batch. Slices of a reply are new memory. After it is sent, a reply is for Wipe.
func (r *Responder) HandleBatch(reqs []shm.Request, replies []shm.Reply) {
	b := batch{policies: *r.policies.Load(), rand: r.rand, kept: r.kept.Load(), stats: &r.stats}
	for i := range reqs {
		replies[i] = b.handle(&reqs[i])
		r.stats.count(reqs[i].Kind, &replies[i], b.reason)
	}
}

// Handle answers one request: a batch of one.
func (r *Responder) Handle(req *shm.Request, reply *shm.Reply) {
	var replies [1]shm.Reply
	r.HandleBatch([]shm.Request{*req}, replies[:])
	*reply = replies[0]
	replies[0].Erase()
}

// Wipe erases the secrets of a reply that was sent: its keys, and the blob it points to.
func Wipe(reply *shm.Reply) {
	reply.Erase()
	clear(reply.Secret)
}

// source is a source of randomness whose errors can be told from others.
type source struct{ io.Reader }

// works reports whether the source gives anything: without randomness no ENO option may be sent (RFC 8547 section 10).
func (s source) works() bool {
	var probe [8]byte
	_, err := io.ReadFull(s, probe[:])
	return err == nil
}

func (s source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", errRandomness, err)
	}
	return n, err
}
