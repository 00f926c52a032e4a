package worker

import (
	"crypto/rand"
	"slices"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/handshake"
	"linecrypt/flowtable"
)

// resumable looks for what a new connection may resume: for a host's SYN by the two hosts, for a far end's by the identifier that it
// names, wherever it comes from (RFC 8548 section 3.5), unless the host's application wants none. Nobody is asked for that. What is found is claimed once set-up has decided.
func (w *Worker) resumable(e *handshake.Resumption, s flowtable.Side, seg *handshake.Segment, k *flowtable.Key, rules *handshake.Rules, now int64) {
	if !rules.Terms.Resume || w.cfg.Secrets == nil || w.ctl.Fresh(&k.Inside, k.InsidePort) {
		return
	}
	likes := func(tep tcpcrypt.TEP, aead tcpcrypt.AEAD) bool {
		return slices.Contains(rules.Answer.Prefer, eno.TEP(tep)) && slices.Contains(rules.Terms.AEADs(), uint16(aead))
	}
	var c resumption.Candidate
	found := false
	if s == flowtable.Inside {
		c, found = w.cfg.Secrets.FindPair(k, now, likes)
	} else {
		var named bool
		if c, named = w.named(seg.ENO, now); named {
			found = c.Handle != 0 && likes(c.TEP, c.AEAD)
			if !found {
				w.n[shm.ResumeUnknown]++
			}
		}
	}
	if !found {
		return
	}
	*e = handshake.Resumption{Handle: c.Handle, TEP: c.TEP, Ours: c.Ours, Theirs: c.Theirs, Length: uint8(w.params.Nonce)}
	_, _ = rand.Read(e.Nonce[:]) // which ends the process rather than fail
}

// named returns the first secret that a SYN's option names, and reports whether it names any.
func (w *Worker) named(option []byte, now int64) (c resumption.Candidate, named bool) {
	if len(option) < 3+tcpcrypt.ResumeHalfLen {
		return c, false
	}
	o, err := eno.Parse(option)
	if err != nil {
		return c, false
	}
	for _, sub := range o.Suboptions {
		s := tcpcrypt.ReadSuboption(sub)
		if s.Proposal != tcpcrypt.Resume {
			continue
		}
		named = true
		if c, ok := w.cfg.Secrets.FindHalf(s.Half, now); ok && c.TEP == s.TEP {
			return c, true
		}
	}
	return c, named
}

// claim takes the secret that set-up has decided to resume with.
func (w *Worker) claim(i flowtable.Index, r *flowtable.Record) handshake.Failure {
	if !w.cfg.Secrets.Claim(resumption.Handle(r.Setup.Resume), w.flow(i, r)) {
		return handshake.FailClaim
	}
	if r.Flags&flowtable.FlagActive != 0 {
		w.n[shm.ResumeOffered]++
	} else {
		w.n[shm.ResumeAgreed]++
	}
	return handshake.FailNone
}

// disown gives up for good what follows from the secret that a connection had claimed before the step that says so.
func (w *Worker) disown(i flowtable.Index, r *flowtable.Record, secret uint32) {
	w.cfg.Secrets.Disown(resumption.Handle(secret), w.flow(i, r))
}

// claimed reads what may be known of the secret that a connection has claimed.
func (w *Worker) claimed(e *handshake.Resumption, i flowtable.Index, r *flowtable.Record) {
	if c, ok := w.cfg.Secrets.Claimed(resumption.Handle(r.Setup.Resume), w.flow(i, r)); ok {
		*e = handshake.Resumption{Handle: c.Handle, TEP: c.TEP, Ours: c.Ours, Theirs: c.Theirs}
	}
}

func (w *Worker) flow(i flowtable.Index, r *flowtable.Record) resumption.Flow {
	return resumption.Flow(w.ref(i, r))
}

// wholeFrames reports whether a payload looks like frames that end with it (RFC 8548 section 4.2): no plaintext does but by chance.
func wholeFrames(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	for len(b) > 0 {
		h, err := tcpcrypt.ParseHeader(b)
		if err != nil || h.Control&^tcpcrypt.ControlRekey != 0 || h.FrameLen() > len(b) {
			return false
		}
		b = b[h.FrameLen():]
	}
	return true
}
