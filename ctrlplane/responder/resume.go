package responder

import (
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// kept is where session secrets are kept to resume with (RFC 8548 section 3.5).
type kept struct {
	cache *resumption.Cache
	now   func() int64 // ns of the monotonic clock
}

// SetCache says where session secrets are kept from now on: that of the segment that is served. Nil is nowhere.
func (r *Responder) SetCache(c *resumption.Cache, now func() int64) {
	if c == nil {
		r.kept.Store(nil)
		return
	}
	r.kept.Store(&kept{c, now})
}

// resume gives a connection the keys that follow from the secret which its worker has claimed. It is asked when both ends have agreed:
// before host A confirms that, so that what fails is a fallback, and when host B has got the confirmation, so that there is no way back.
func (b *batch) resume(q *shm.Request) shm.Reply {
	fail := b.fall
	if q.Kind == shm.PassiveResume {
		fail = b.abort
	}
	if b.kept == nil {
		return fail(NotResumable)
	}
	taken, ok := b.kept.cache.Take(q.Resume, resumption.Flow(q.Ref))
	if !ok {
		return fail(NotResumable)
	}
	defer taken.Secret.Wipe()
	session, role, r := resumed(q, &taken)
	if r != 0 {
		return fail(r)
	}
	defer session.Wipe()
	if taken.First && b.rules.terms.Resume && !q.Fresh {
		b.kept.cache.Keep(resumption.Session{
			Secret: &taken.Secret, Index: taken.Index, TEP: taken.TEP, AEAD: taken.AEAD, Sends: taken.Sends, Chain: taken.Chain,
			Flow: resumption.Flow(q.Ref), Tuple: &q.Tuple,
		}, b.kept.now())
	}
	b.stats.resumed[role-flowtable.RoleA].Add(1)
	p := shm.Reply{Kind: shm.Keys, Role: role, TEP: session.ID[0], AEAD: uint16(session.AEAD), Resumed: true, SendsBA: taken.Sends == tcpcrypt.BA}
	p.Keys.Master, p.Keys.SessionID = session.Master, session.ID
	return p
}

// resumed derives the session that the options of a request name: both must name the secret, each by its end's half.
func resumed(q *shm.Request, t *resumption.Taken) (tcpcrypt.Session, eno.Role, Reason) {
	own, peer, rules := q.ENOA, q.ENOB, eno.Rules{Opener: eno.Active}
	if q.Kind == shm.PassiveResume {
		own, peer, rules.Opener = peer, own, eno.Passive
	}
	rules.Valid = func(a, b []byte) bool {
		return tcpcrypt.ValidSuboptions(a, b, func(sa, sb tcpcrypt.Suboption) bool {
			ours, theirs := sa, sb
			if rules.Opener == eno.Passive {
				ours, theirs = sb, sa
			}
			return resumption.Half(ours.Half) == t.Ours && resumption.Half(theirs.Half) == t.Theirs
		})
	}
	n, err := eno.Negotiate(own, peer, rules)
	if err != nil {
		return tcpcrypt.Session{}, 0, NotNegotiated
	}
	a, b := tcpcrypt.ReadSuboption(n.A), tcpcrypt.ReadSuboption(n.B)
	if b.Proposal != tcpcrypt.Resume || b.TEP != t.TEP || (n.Role == eno.A) != (rules.Opener == eno.Active) {
		return tcpcrypt.Session{}, 0, NotNegotiated
	}
	// The nonces go by the roles of the original session: ours is that of its host A where we seal with k_ab.
	nonceA, nonceB := a.Nonce, b.Nonce
	if (n.Role == eno.A) != (t.Sends == tcpcrypt.AB) {
		nonceA, nonceB = nonceB, nonceA
	}
	session, err := tcpcrypt.ResumeSession(n.B[0], t.AEAD, t.Secret, nonceA, nonceB)
	if err != nil {
		return tcpcrypt.Session{}, 0, reasonOf(err)
	}
	return session, n.Role, 0
}

// keep keeps what follows from a fresh session, for a later one. Host A's keys are the same ones whenever they are asked for, so that
// of those nothing is kept again.
func (b *batch) keep(q *shm.Request, s *tcpcrypt.Session, role eno.Role) {
	if b.kept == nil || !b.rules.terms.Resume || q.Fresh || role == eno.A && q.Again {
		return
	}
	sends := tcpcrypt.AB
	if role == eno.B {
		sends = tcpcrypt.BA
	}
	b.kept.cache.Keep(resumption.Session{
		Secret: &s.Secret, TEP: s.TEP, AEAD: s.AEAD, Sends: sends, Flow: resumption.Flow(q.Ref), Tuple: &q.Tuple,
	}, b.kept.now())
}

// ended forgets which secrets came from a connection that is over.
func (b *batch) ended(q *shm.Request) {
	if b.kept != nil {
		b.kept.cache.Ended(resumption.Flow(q.Ref))
	}
}
