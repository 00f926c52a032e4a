package responder

import (
	"errors"
	"fmt"
	"io"
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
	rules atomic.Pointer[rules]
	rand  source
	kept  atomic.Pointer[kept]
	stats Stats
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
	c, err := p.compile()
	if err != nil {
		return fmt.Errorf("responder: %w", err)
	}
	r.rules.Store(c)
	return nil
}

// Rules returns the terms in force in the form in which the data plane decides by them. It tries the source of randomness.
func (r *Responder) Rules() shm.Rules {
	return shm.Rules{Terms: r.rules.Load().terms, Usable: r.rand.works()}
}

// Decided returns the terms of a connection that was decided on by a rule. As long as there is one rule it is that one.
func (r *Responder) Decided(flowtable.RuleRef) *policy.Terms { return &r.rules.Load().terms }

// Stats returns the responder's counters.
func (r *Responder) Stats() *Stats { return &r.stats }

// HandleBatch answers reqs[i] by replies[i]; replies must be as long as reqs. A request that has no answer, Closed, leaves
// Kind 0. One policy serves the whole batch. Slices of a reply are new memory. After it is sent, a reply is for Wipe.
func (r *Responder) HandleBatch(reqs []shm.Request, replies []shm.Reply) {
	b := batch{rules: r.rules.Load(), rand: r.rand, kept: r.kept.Load(), stats: &r.stats}
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
