package packetpath

import (
	"encoding/binary"
	"fmt"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/handshake"
	"linecrypt/flowtable"
)

// tep is the key agreement that flows are said to have used.
const tep = tcpcrypt.ECDHECurve25519

// initLen is the length of both Init messages: the first bytes of the wire's streams.
const initLen = 80

// control is a control plane that gives each flow the keys that derive from its number.
type control struct {
	encrypt bool
	asked   *shm.Consumer
	answer  *shm.Producer
	rules   handshake.Rules
}

// Alive implements worker.Control.
func (c *control) Alive(int64) bool { return true }

// Aware implements worker.Control.
func (c *control) Aware(*[16]byte, uint16) bool { return false }

// Fresh implements worker.Control.
func (c *control) Fresh(*[16]byte, uint16) bool { return false }

// Decide implements worker.Control.
func (c *control) Decide(*flowtable.Key, flowtable.Side) (*handshake.Rules, flowtable.RuleRef) {
	return c.Rules(), 0
}

// RulesOf implements worker.Control.
func (c *control) RulesOf(flowtable.RuleRef) *handshake.Rules { return c.Rules() }

// Rules is what holds for every connection.
func (c *control) Rules() *handshake.Rules {
	r := &c.rules
	if r.Offer == nil {
		r.Policy = flowtable.Opportunistic
		r.Offer = []byte{eno.Kind, 3, byte(tep)}
		r.Answer = eno.AnswerRules{Prefer: []eno.TEP{eno.TEP(tep)}, Valid: handshake.Resumable}
	}
	return r
}

// serve answers what the worker has asked and returns how much that was.
func (c *control) serve() (int, error) {
	for n := 0; ; n++ {
		msg, err := c.asked.Peek()
		if err != nil {
			return n, err
		}
		if msg == nil {
			return n, nil
		}
		var q shm.Request
		if err := q.Decode(msg); err != nil {
			return n, err
		}
		if q.Kind != shm.PassiveKeys {
			return n, fmt.Errorf("the worker asks for %v of the connection from port %d", q.Kind, q.Tuple.OutsidePort)
		}
		rep := shm.Reply{Kind: shm.Keys, Ref: q.Ref, Seq: q.Seq, Role: flowtable.RoleB, TEP: byte(tep), AEAD: uint16(aead), Init: initMessage(tcpcrypt.KindInit2)}
		rep.Keys.Master = master(flowOf(binary.BigEndian.Uint32(q.Tuple.Outside[12:]), q.Tuple.OutsidePort))
		if !c.answer.SendReply(&rep) {
			return n, fmt.Errorf("a reply does not fit into the ring")
		}
		c.asked.Release()
	}
}

// initMessage is an Init message whose contents nobody looks at.
func initMessage(kind tcpcrypt.InitKind) []byte {
	b := make([]byte, initLen)
	binary.BigEndian.PutUint32(b, uint32(kind))
	binary.BigEndian.PutUint32(b[4:], initLen)
	return b
}
