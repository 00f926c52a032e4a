package responder

import "linecrypt/ctrlplane/shm"

// batch is what the handlers of one batch share.
type batch struct {
	policies policies
	rules    *rules // of the connection at hand
	kept     *kept  // secrets to resume with, nil for none
	rand     source
	stats    *Stats
	reason   Reason // of the last request's Pass, Refuse or Abort
}

func (b *batch) handle(q *shm.Request) shm.Reply {
	b.reason = 0
	var p shm.Reply
	if q.Kind == shm.Closed {
		b.ended(q)
		return p
	}
	if b.rules = b.policies.of(q.Rule); b.rules == nil {
		p = b.unknownRule(q.Kind)
		p.Ref, p.Seq = q.Ref, q.Seq
		return p
	}
	switch q.Kind {
	case shm.ActiveAnswer:
		p = b.activeAnswer(q)
	case shm.ActiveKeys:
		p = b.activeKeys(q)
	case shm.PassiveKeys:
		p = b.passiveKeys(q)
	case shm.ActiveResume, shm.PassiveResume:
		p = b.resume(q)
	default:
		p = b.abort(BadRequest)
	}
	p.Ref, p.Seq = q.Ref, q.Seq
	return p
}

// fall gives encryption up for a connection that does not need it yet: what the policy does then.
func (b *batch) fall(r Reason) shm.Reply {
	b.reason = r
	if b.rules.require {
		return shm.Reply{Kind: shm.Refuse, Reason: r.code()}
	}
	return shm.Reply{Kind: shm.Pass, Reason: r.code()}
}

// unknownRule answers for a connection whose rule nobody has any more. The data plane knows what its policy was.
func (b *batch) unknownRule(k shm.RequestKind) shm.Reply {
	if k != shm.ActiveAnswer && k != shm.ActiveResume {
		return b.abort(UnknownRule)
	}
	b.reason = UnknownRule
	return shm.Reply{Kind: shm.Pass, Reason: UnknownRule.code()}
}

// abort ends a connection for which encryption is enabled, so that there is no way back to the clear (RFC 8547 section
// 4.6, RFC 8548 section 3.3).
func (b *batch) abort(r Reason) shm.Reply {
	b.reason = r
	return shm.Reply{Kind: shm.Abort, Reason: r.code()}
}
