package foreign

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"

	"linecrypt/ctrlplane/tcpcrypt"
)

// Chain is a session secret that a later connection may resume with, as RFC 8548 section 3.5 has it. What follows from it is derived here
// from the RFC's text alone, by HMAC.
type Chain struct {
	secret [32]byte // ss[i]
	tep    tcpcrypt.TEP
	aead   tcpcrypt.AEAD
	sends  tcpcrypt.Direction // AB where this end was host A of the original session
}

// cprf is HKDF-Expand of RFC 5869 with SHA-256, for up to 32 bytes.
func cprf(key []byte, constant byte, more []byte, n int) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte{constant})
	h.Write(more)
	h.Write([]byte{1})
	return h.Sum(nil)[:n]
}

// Constants of RFC 8548 section 4.3.
const (
	nextK  = 1
	sessID = 2
	rekey  = 3
	resume = 6
)

// Chain returns the secret that follows from the connection's session.
func (c *Conn) Chain() *Chain {
	s := &c.crypt.session
	return &Chain{secret: [32]byte(cprf(s.Secret[:], nextK, nil, 32)), tep: s.TEP, aead: s.AEAD, sends: c.crypt.send.dir}
}

// halves returns what this end sends and what the other one does.
func (ch *Chain) halves() (ours, theirs []byte) {
	id := cprf(ch.secret[:], resume, nil, 18)
	if ch.sends == tcpcrypt.AB {
		return id[:9], id[9:]
	}
	return id[9:], id[:9]
}

// suboption returns the end's resumption suboption with a nonce of n bytes, and that nonce.
func (ch *Chain) suboption(n int) (sub, nonce []byte) {
	nonce = make([]byte, n)
	_, _ = rand.Read(nonce)
	ours, _ := ch.halves()
	return append(append([]byte{byte(ch.tep) | 0x80}, ours...), nonce...), nonce
}

// find returns the nonce of the suboption of the other end's that names the secret. The option has this suboption last.
func (ch *Chain) find(option []byte) (nonce []byte, ok bool) {
	_, theirs := ch.halves()
	at := bytes.Index(option, append([]byte{byte(ch.tep) | 0x80}, theirs...))
	if at < 2 || len(option)-at > 18 {
		return nil, false
	}
	return option[at+10:], true
}

// session derives the session of a connection that resumes.
func (ch *Chain) session(own, peer []byte) tcpcrypt.Session {
	sn := append(append([]byte(nil), own...), peer...)
	if ch.sends == tcpcrypt.BA {
		sn = append(append([]byte(nil), peer...), own...)
	}
	s := tcpcrypt.Session{TEP: ch.tep, AEAD: ch.aead, Secret: ch.secret}
	s.ID[0] = byte(ch.tep) | 0x80
	copy(s.ID[1:], cprf(ch.secret[:], sessID, sn, 32))
	copy(s.Master[:], cprf(ch.secret[:], rekey, sn, 32))
	return s
}

// Resumed reports whether the connection goes on with an earlier session.
func (c *Conn) Resumed() bool { return c.crypt.resumed }

// option returns a SYN-form ENO option.
func option(global []byte, sub []byte) []byte {
	o := append(append([]byte{69, 0}, global...), sub...)
	o[1] = byte(len(o))
	return o
}

// resumeKeys puts the keys of a session in place whose frames begin at once.
func (c *Conn) resumeKeys(ch *Chain, own, peer []byte) {
	c.crypt.resumed = true
	c.keyed(ch.session(own, peer), ch.sends, 0)
}

// confirm sends the ACK with ENO.
func (c *Conn) confirm() {
	s := c.segment(flagACK, 0, nil)
	s.options = []byte{69, 2}
	c.e.send(s)
}

// acceptResumed goes on behind a SYN whose option names the secret.
func (c *Conn) acceptResumed(ctx context.Context, cfg Config, peer []byte) error {
	sub, own := cfg.Resume.suboption(cfg.Nonce)
	answer := option([]byte{1}, sub)
	synack := func() {
		s := c.segment(flagSYN|flagACK, -1, nil)
		s.options = c.synOptions(answer)
		c.e.send(s)
	}
	if err := c.until(ctx, "ACK", synack, func() bool { return c.ack != nil }); err != nil {
		return err
	}
	if !bytes.Contains(c.ack.options, []byte{69, 2}) {
		return errors.New("the first ACK has no ENO option")
	}
	c.resumeKeys(cfg.Resume, own, peer)
	return nil
}
