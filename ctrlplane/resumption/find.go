package resumption

import (
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Candidate is a secret that may be claimed. It may be gone by then.
type Candidate struct {
	Handle Handle
	TEP    tcpcrypt.TEP
	AEAD   tcpcrypt.AEAD
	Sends  tcpcrypt.Direction // what this end seals: AB where it was host A of the original session
	Ours   Half               // the half that this end sends
	Theirs Half               // the half that the far end sends
}

// FindHalf returns the secret that a far end names by its half of the identifier.
func (t *Table) FindHalf(half []byte, now int64) (c Candidate, ok bool) {
	if t == nil || len(half) != tcpcrypt.ResumeHalfLen {
		return c, false
	}
	w := halfWords(half)
	b := t.halfBucket(w)
	for i := range b {
		n := b[i].Load()
		s := t.at(n)
		if s == nil || s.theirs[0].Load() != w[0] || s.theirs[1].Load() != w[1] {
			continue
		}
		if c, ok = s.candidate(n, now); ok && c.Theirs == Half(half) {
			return c, true
		}
	}
	return Candidate{}, false
}

// FindPair returns a secret that was agreed between the two hosts of a connection, whoever opened theirs, and that likes approves of.
// Of one original session no more than one secret is ready at a time, the one of the lowest unused i (RFC 8548 section 3.5).
func (t *Table) FindPair(k *flowtable.Key, now int64, likes func(tcpcrypt.TEP, tcpcrypt.AEAD) bool) (c Candidate, ok bool) {
	if t == nil {
		return c, false
	}
	p := pairOf(k)
	b := t.pairBucket(&p)
	for i := range b {
		n := b[i].Load()
		s := t.at(n)
		if s == nil || s.loadPair() != p {
			continue
		}
		if c, ok = s.candidate(n, now); ok && s.loadPair() == p && likes(c.TEP, c.AEAD) {
			return c, true
		}
	}
	return Candidate{}, false
}

// candidate reads a slot that is ready. What it returns is of one generation: that of the handle.
func (s *slot) candidate(n uint32, now int64) (c Candidate, ok bool) {
	state := s.state.Load()
	if statusOf(state) != ready || now >= s.expires.Load() {
		return c, false
	}
	return s.read(n, state)
}

// read returns what is there if it is of one state.
func (s *slot) read(n uint32, state uint64) (c Candidate, ok bool) {
	c = Candidate{Handle: makeHandle(n, state), Ours: loadHalf(&s.ours), Theirs: loadHalf(&s.theirs)}
	c.TEP, c.AEAD, c.Sends = unpackKind(s.kind.Load())
	return c, s.state.Load() == state
}

// Claim takes a secret for one connection, before any segment tells of it, and reports false where somebody else was faster. It is
// never given back.
func (t *Table) Claim(h Handle, by Flow) bool {
	s := t.held(h)
	if s == nil {
		return false
	}
	state := s.state.Load()
	if statusOf(state) != ready || !h.of(state) || !s.state.CompareAndSwap(state, claimed.in(state)) {
		return false
	}
	storeFlow(&s.owner, by)
	// A worker that stood still for a long time between the two steps has lost its claim.
	return s.state.Load() == claimed.in(state)
}

// Claimed returns what may be known of a secret that a connection has claimed.
func (t *Table) Claimed(h Handle, by Flow) (c Candidate, ok bool) {
	s := t.held(h)
	if s == nil {
		return c, false
	}
	state := s.state.Load()
	if !h.of(state) || statusOf(state) != claimed && statusOf(state) != answered || loadFlow(&s.owner) != by {
		return c, false
	}
	return s.read(h.slot(), state)
}

// Spend erases a secret whose keys the connection has.
func (t *Table) Spend(h Handle, by Flow) { t.erase(h, by, answered) }

// Disown erases a secret that a connection has claimed for a far end which turned out to want nothing that was offered beside it. None is
// made ready in its place: connections after this one offer all that they can.
func (t *Table) Disown(h Handle, by Flow) { t.erase(h, by, claimed) }

// erase erases a connection's secret that is in a state.
func (t *Table) erase(h Handle, by Flow, in status) {
	s := t.held(h)
	if s == nil || loadFlow(&s.owner) != by {
		return
	}
	state := s.state.Load()
	if !h.of(state) || statusOf(state) != in || !s.state.CompareAndSwap(state, erasing.in(state)) {
		return
	}
	s.secret.Wipe()
	s.state.Store(spent.in(state))
}

func (t *Table) held(h Handle) *slot {
	if t == nil {
		return nil
	}
	return t.at(h.slot())
}
