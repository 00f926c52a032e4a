package handshake

import (
	"bytes"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Resumption is the secret of an earlier session that a connection may go on with (RFC 8548 section 3.5), as far as it may be known.
type Resumption struct {
	Handle resumption.Handle
	TEP    tcpcrypt.TEP
	Ours   resumption.Half
	Theirs resumption.Half
	Nonce  [tcpcrypt.MaxResumeNonce]byte // fresh randomness of this connection
	Length uint8                         // bytes of it that are sent where there is room, as configured
}

// suboption returns our resumption suboption with a nonce of n bytes.
func (r *Resumption) suboption(n int) eno.Suboption {
	return tcpcrypt.AppendHalf(nil, r.TEP, r.Ours[:], r.Nonce[:min(n, int(r.Length))])
}

// agrees reports whether the suboptions of both ends name the secret, each by its half.
func (r *Resumption) agrees(ours, theirs tcpcrypt.Suboption) bool {
	return r.Handle != 0 && bytes.Equal(ours.Half, r.Ours[:]) && bytes.Equal(theirs.Half, r.Theirs[:])
}

// Sizes of an option that resumes, in bytes: kind, length, TEP and half; the global suboption.
const (
	resumeLeast = 2 + 1 + tcpcrypt.ResumeHalfLen
	globalBytes = 1
)

// leastNonce is how short a nonce may become for want of room, in bytes: RFC 8548 section 3.5 wants eight where a secret may be used again,
// as on a machine that is restored from a snapshot, and an empty one would be the same each time.
const leastNonce = 4

// offerResuming returns the active opener's option where there is room for one that resumes. The nonce comes before TEPs besides that
// of the earlier session, which the resumption suboption offers for a fresh key exchange too (RFC 8548 section 3.2): of those, the best
// are offered that have room. Nothing of the host's gives way.
func (r *Rules) offerResuming(e *Resumption, aware bool, room int) (option flowtable.Option, ok bool) {
	if e.Handle == 0 {
		return option, false
	}
	plain, err := eno.Parse(r.Offer)
	if err != nil {
		return option, false
	}
	room -= resumeLeast
	global := eno.Global{Aware: plain.Aware() || aware, Explicit: plain.Explicit}
	if global.Aware || global.Explicit {
		room -= globalBytes
	}
	nonce := min(int(e.Length), room)
	if nonce < min(int(e.Length), leastNonce) {
		return option, false
	}
	room -= nonce
	offer := eno.Offer{Global: global, Resume: e.suboption(nonce)}
	for i := len(plain.Suboptions) - 1; i >= 0 && room > 0; i-- {
		if t := plain.Suboptions[i].TEP(); t != eno.TEP(e.TEP) {
			offer.TEPs = append([]eno.TEP{t}, offer.TEPs...)
			room--
		}
	}
	b, err := eno.AppendOffer(nil, offer)
	return option, err == nil && option.Set(b)
}

// answerResuming returns the passive opener's option that agrees to resume what a SYN's option names, and why not where it does not.
func (r *Rules) answerResuming(e Resumption, syn []byte) (option flowtable.Option, cause Cause) {
	rules := r.Answer
	rules.Valid = func(a, b []byte) bool {
		return tcpcrypt.ValidSuboptions(a, b, func(sa, sb tcpcrypt.Suboption) bool { return e.agrees(sb, sa) })
	}
	rules.Resume = func(s eno.Suboption) (eno.Suboption, bool) {
		read := tcpcrypt.ReadSuboption(s)
		if read.Proposal != tcpcrypt.Resume || read.TEP != e.TEP || !bytes.Equal(read.Half, e.Theirs[:]) {
			return nil, false
		}
		return e.suboption(tcpcrypt.MaxResumeNonce), true
	}
	b, n, err := eno.Answer(nil, syn, rules)
	switch {
	case err != nil:
		return option, causeOf(err)
	case !resumes(n.B) || !option.Set(b):
		return option, NoCommonTEP
	}
	return option, CauseNone
}

// resumable is the predicate on suboption data of an active opener that offers to resume. The secret is copied, so that an event that
// has none costs no memory.
func (e Resumption) resumable() func(a, b []byte) bool {
	return func(a, b []byte) bool { return tcpcrypt.ValidSuboptions(a, b, e.agrees) }
}

// resumes reports whether a suboption is host B's agreement to resume.
func resumes(b eno.Suboption) bool {
	return tcpcrypt.ReadSuboption(b).Proposal == tcpcrypt.Resume
}

// fit makes our answer fit into the room that the host's SYN-ACK leaves: the nonce becomes shorter, and where there is no room for the
// half and the least of a nonce the answer is a fresh key exchange by the same TEP, to which a far end that offers to resume has agreed as well.
func (c *Conn) fit(room int) {
	own := &c.ENO[roleB]
	if c.Flags&flowtable.SetupResume == 0 || own.Len() <= room {
		return
	}
	o, err := eno.Parse(own.Bytes())
	if err != nil || len(o.Suboptions) != 1 {
		return
	}
	g, s := eno.Global{Role: eno.B, Aware: o.Aware()}, o.Suboptions[0]
	least := resumeLeast + globalBytes + min(len(s)-1-tcpcrypt.ResumeHalfLen, leastNonce)
	if room >= least {
		s = s[:len(s)-(own.Len()-room)]
	} else {
		s = eno.Suboption{byte(s.TEP())}
		c.Resume, c.Flags = 0, c.Flags&^flowtable.SetupResume
	}
	b, err := eno.Append(nil, g, s)
	if err == nil {
		own.Set(b)
	}
}
