// Package handshake is the set-up of a connection as a pure state machine: (state, event, now) to actions. It knows no port, no
// buffer, no ring, no clock and no goroutine; package worker tells it what happened and carries out what it says.
//
// The host is held back until keys are in place, so that no plaintext is ever buffered and the session ID exists before an
// application runs:
//
//	active side (the inside host opens, the gateway plays role A)
//	  host SYN     SYN + ENO out                                                       ActiveSyn
//	  SYN-ACK      ENO in it is ours to judge; the control plane makes Init1           ActiveAnswer
//	               ACK + ENO + Init1 out; Init2 is collected                           ActiveInit
//	  Init2        the control plane agrees on keys                                    ActiveKeys
//	               keys in place; only now the SYN-ACK goes to the host                Encrypted
//
//	passive side (the far end opens, the gateway plays role B)
//	  SYN + ENO    ours to judge; SYN without ENO to the host                          PassiveSyn
//	  SYN-ACK      goes out with our ENO                                               PassiveAck
//	  ACK + ENO    ENO is confirmed; Init1 is collected                                PassiveInit
//	  Init1        the control plane makes Init2 and the keys                          PassiveKeys
//	               Init2 out; only now the last ACK goes to the host                   Encrypted
//
// Where policy wants the far end authenticated, the last step of both waits once more: keys are in place (Conn.Held, in the states
// ActiveKeys and PassiveKeys), the translator keeps what comes for the host, and only the control plane's word (EventConfirm) lets
// the host have its SYN-ACK or last ACK. Without it the connection is reset in the end.
//
// A connection that is left in the clear while it opens is in state PlainSyn, and Plain from the ACK on that proves its opener real.
//
// What a connection may cost: until that proof (the far end's SYN-ACK that acknowledges the host's SYN, the far end's ACK that
// acknowledges the host's SYN-ACK) its record and the two ENO options in it, and a place among the half-open records (Answered says
// when it moves among them). From the proof on (Establish) a place among the established ones, and a block for what the control
// plane wants to see again. The control plane is asked nothing before the proof.
//
// Whatever ends set-up without encryption is one action with a named reason, a counter of package shm: Plain, Refuse or Abort.
// Everything that RFC 8547 section 4.6 decides is in rfc8547.go. Up to the ACK that confirms ENO a connection may become plain;
// from there on it is encrypted or reset.
package handshake
