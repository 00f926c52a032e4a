package handshake

import "linecrypt/flowtable"

// Conn is what set-up knows of a connection. Package worker keeps it in the connection's record.
type Conn struct {
	State  flowtable.State
	Policy flowtable.Policy // verdict of the SYN: a later change of policy does not change it
	Active bool             // the inside host opened the connection

	HostKnown, PeerKnown bool // that end's SYN or SYN-ACK was seen
	SendENO              bool // no non-SYN segment of the far end has come yet, so that ours carry ENO (RFC 8547 section 4.6)
	PeerENO              bool // of a connection that the host opens: a SYN with ENO of the far end's came, which opens it at the same time
	HasBlock             bool // the worker keeps a block for the connection
	Held                 bool // keys are in place, and the host waits until the far end is authenticated

	HostISN, PeerISN uint32
	HostWin          uint32 // bytes that the host takes, from its SYN or SYN-ACK

	flowtable.Setup
}

// own and their are the positions of role A's and role B's options in Setup.ENO.
const (
	roleA = 0
	roleB = 1
)

// Deadline returns when the connection wants an EventTimer, in ns of the monotonic clock; 0 is never.
func Deadline(s *flowtable.Setup) int64 {
	switch {
	case s.Ask == 0:
		return s.End
	case s.End == 0:
		return s.Ask
	}
	return min(s.Ask, s.End)
}

// committed reports whether the far end may believe, or comes to believe without another word of ours, that the connection is
// encrypted.
func (c *Conn) committed() bool {
	switch c.State {
	case flowtable.PassiveAck, flowtable.ActiveInit, flowtable.ActiveKeys, flowtable.PassiveInit, flowtable.PassiveKeys, flowtable.Encrypted:
		return true
	}
	return false
}

// enabled reports whether encryption is enabled: an ACK with ENO was sent or received, and there is no way back (RFC 8547
// section 4.6).
func (c *Conn) enabled() bool { return c.committed() && c.State != flowtable.PassiveAck }

// halfOpen reports whether the opener has not been proven real.
func (c *Conn) halfOpen() bool {
	switch c.State {
	case flowtable.ActiveSyn, flowtable.PassiveSyn, flowtable.PassiveAck, flowtable.PlainSyn:
		return true
	}
	return false
}

// HalfOpen reports whether a state is one of connections whose opener has not been proven real.
func HalfOpen(s flowtable.State) bool { return (&Conn{State: s}).halfOpen() }
