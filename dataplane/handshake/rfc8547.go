package handshake

import (
	"linecrypt/ctrlplane/eno"
	"linecrypt/flowtable"
)

// What RFC 8547 section 4.6 decides, and the sections it refers to, is decided here and nowhere else:
//
//	judgeHostSYN   may a host's SYN carry our option?              4.1, 4.7
//	judgeSYN       the far end's SYN, as passive opener            4.6 rules 1 to 3, 4.1, 4.4, 4.5
//	judgeHostReply may the host's SYN-ACK carry our option?        4.1
//	judgeSynAck    the far end's SYN-ACK, as active opener         4.6 rules 1 to 3, 4.1, 4.4, 4.5
//	judgeACK       the far end's first ACK, as passive opener      4.6 rule 1
//	givesUp        a SYN that comes again                          4.6: removal between retransmissions of a SYN
//	mayDrop        a SYN of ours that goes again                   the same
//	ofNoTEP        data in a far end's SYN that passes             4.7
//	carriesENO     segments of our own                             4.6: until a non-SYN segment has come

// judgeHostSYN says whether our option goes on a host's SYN, CauseNone if so. A host that speaks ENO itself is no case for it.
func (r *Rules) judgeHostSYN(s *Segment) Cause {
	switch {
	case s.Malformed:
		return MalformedOptions
	case s.Binding:
		return BindingOptions
	case len(r.Offer) > s.Room:
		return NoOptionRoom
	}
	return CauseNone
}

// judgeSYN returns our answer to a far end's SYN, or why there is none, and whether it agrees to resume. More than one ENO option
// counts as none (4.1).
func (r *Rules) judgeSYN(s *Segment, e *Resumption) (option flowtable.Option, cause Cause, resumed bool) {
	switch {
	case s.Malformed:
		return option, MalformedOptions, false
	case s.Binding:
		return option, BindingOptions, false
	case s.ENOs == 0:
		return option, NoENOInSYN, false
	case s.ENOs > 1:
		return option, SeveralENO, false
	}
	if e.Handle != 0 {
		if option, cause = r.answerResuming(*e, s.ENO); cause == CauseNone {
			return option, CauseNone, true
		}
	}
	option, cause = r.answerTo(s.ENO)
	return option, cause, false
}

// judgeHostReply says whether our option goes on a host's SYN-ACK.
func judgeHostReply(own []byte, s *Segment) Cause {
	switch {
	case s.Malformed:
		return MalformedOptions
	case s.Binding || s.ENOs > 0:
		return BindingOptions
	case len(own) > s.Room:
		return NoOptionRoom
	}
	return CauseNone
}

// judgeSynAck says whether the far end's SYN-ACK negotiates encryption with what we offered, and whether it agrees to resume.
func (r *Rules) judgeSynAck(own []byte, s *Segment, e *Resumption) (cause Cause, resumed bool) {
	switch {
	case s.Malformed:
		return MalformedOptions, false
	case s.ENOs == 0:
		return NoENOInSynAck, false
	case s.ENOs > 1:
		return SeveralENO, false
	case s.Binding:
		return BindingOptions, false
	case s.Long:
		return LongHeaders, false
	}
	rules := eno.Rules{Opener: eno.Active, RequireAware: r.Answer.RequireAware, Valid: r.Answer.Valid}
	if e.Handle != 0 {
		rules.Valid = e.resumable()
	}
	n, err := eno.Negotiate(own, s.ENO, rules)
	switch {
	case err != nil:
		return causeOf(err), false
	case n.Role != eno.A:
		return SameRole, false
	}
	return CauseNone, resumes(n.B)
}

// ackMeans is what the far end's first ACK says of ENO.
type ackMeans uint8

const (
	ackConfirms ackMeans = iota // ENO is on: both have sent and received an ACK with it, or will have
	ackWithout                  // no ENO option: encryption is off
	ackStripped                 // no ENO option, and yet the far end believes in encryption: its data is an Init message, or frames
	ackUnclear                  // no ENO option, and not the first bytes of the stream: what they are, cannot be told
)

// judgeACK says what the far end's first ACK means. The content of a non-SYN ENO option is a TEP's, and those of RFC 8548 have none.
// A far end that was told that the connection resumes begins with frames.
func judgeACK(s *Segment, peerISN uint32, resumed bool) ackMeans {
	switch {
	case s.ENOs > 0:
		return ackConfirms
	case s.Payload > 0 && s.Seq != peerISN+1:
		return ackUnclear
	case s.Payload > 0 && (s.Init || resumed && s.Frames):
		return ackStripped
	}
	return ackWithout
}

// givesUp reports whether a SYN that the far end sends again has no ENO option any more, or none that counts.
func givesUp(s *Segment) bool { return s.ENOs != 1 }

// mayDrop reports whether a SYN of the host's may go without ENO after those with it were not answered, or were reset.
func (c *Conn) mayDrop() bool { return c.Policy != flowtable.Require }

// ofNoTEP reports whether data in a far end's SYN is for nobody: what it means, the last TEP in the ENO option says, and where there is no
// encryption, nothing. A host that knows nothing of ENO would take it for the first bytes of its connection. Where the host negotiates
// ENO itself, or the gateway has no part in the connection, it is theirs.
func (c *Conn) ofNoTEP(s *Segment) bool {
	return s.From == flowtable.Outside && s.Flags&syn != 0 && s.Payload > 0 && s.ENOs == 1 && !s.Malformed &&
		c.Policy != flowtable.Disabled && (!c.Active || c.ENO[roleA].Len() > 0)
}

// carriesENO reports whether segments of our own carry the non-SYN form of the option: an active opener's do until the far end's
// first non-SYN segment, which an encrypted connection that resumes may still wait for; a passive one's never do, since what it sends follows the far end's ACK.
func (c *Conn) carriesENO() bool {
	return c.SendENO && (c.State == flowtable.ActiveInit || c.State == flowtable.ActiveKeys || c.State == flowtable.Encrypted)
}
