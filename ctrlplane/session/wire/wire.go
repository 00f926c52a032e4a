// Package wire is the form of the messages between applications and the control plane, on the instance's applications socket: packets of
// a fixed size on a Unix socket of type SOCK_SEQPACKET, one answer to each question. The preloadable C library speaks it too.
//
// It is pure: bytes to values and back. Numbers are little endian.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMessage is wrapped by the errors of Decode.
var ErrMessage = errors.New("bad message of the applications socket")

// Version is the first byte of each message.
const Version = 1

// Sizes of messages in bytes.
const (
	RequestSize = 56
	ReplySize   = 16
)

// AnyVLAN stands for whatever VLAN a connection is in.
const AnyVLAN = 0xffff_ffff

// Verb says what an application asks.
type Verb uint8

// The verbs.
const (
	State      Verb = 1 + iota // what the gateway does with the connection of Local and Remote
	SetAware                   // what is opened or accepted from Local on carries the application-aware bit, as long as this socket is open
	ClearAware                 // takes SetAware or SetFresh back
	Flush                      // forget what could be resumed with the far end of the connection of Local and Remote
	SetFresh                   // what is opened or accepted from Local on resumes no session and leaves none, as long as this socket is open
	endVerbs
)

// Endpoint is an address, IPv4 in its IPv6-mapped form, and a port.
type Endpoint struct {
	Addr [16]byte
	Port uint16
}

// Request is what an application asks.
type Request struct {
	Verb   Verb
	Local  Endpoint
	Remote Endpoint // State and Flush only
	VLAN   uint32
	Token  uint32 // SetAware, SetFresh and ClearAware: the application's name for what it sets
}

// Answer says what came of a request.
type Answer uint8

// The answers.
const (
	Unknown    Answer = iota // no such connection
	Connecting               // it is being set up
	Plain                    // it is in the clear
	Encrypted                // its session ID is in the table, or will be in a moment
	Ambiguous                // there are several, in VLANs of their own
	Done                     // to all but State
	Refused                  // this user may not
	Full                     // a bound was reached
	Bad                      // a malformed request
	Away                     // there is no data plane, or no such thing as what was asked for
	endAnswers
)

var answerNames = [endAnswers]string{"unknown", "connecting", "plain", "encrypted", "ambiguous", "done", "refused", "full", "bad", "away"}

// String returns the answer in snake case.
func (a Answer) String() string {
	if a < endAnswers {
		return answerNames[a]
	}
	return "invalid"
}

// Encode returns the message's bytes.
func (q *Request) Encode() (b [RequestSize]byte) {
	le := binary.LittleEndian
	b[0], b[1] = Version, byte(q.Verb)
	le.PutUint32(b[4:], q.VLAN)
	copy(b[8:], q.Local.Addr[:])
	copy(b[24:], q.Remote.Addr[:])
	le.PutUint16(b[40:], q.Local.Port)
	le.PutUint16(b[42:], q.Remote.Port)
	le.PutUint32(b[44:], q.Token)
	return b
}

// Decode reads a message that fills b.
func (q *Request) Decode(b []byte) error {
	le := binary.LittleEndian
	if len(b) != RequestSize || b[0] != Version {
		return fmt.Errorf("request of %d bytes: %w", len(b), ErrMessage)
	}
	if v := Verb(b[1]); v == 0 || v >= endVerbs || b[2]|b[3] != 0 || le.Uint64(b[48:]) != 0 {
		return fmt.Errorf("request with verb %d, or reserved bytes in use: %w", v, ErrMessage)
	}
	*q = Request{Verb: Verb(b[1]), VLAN: le.Uint32(b[4:]), Token: le.Uint32(b[44:])}
	copy(q.Local.Addr[:], b[8:])
	copy(q.Remote.Addr[:], b[24:])
	q.Local.Port, q.Remote.Port = le.Uint16(b[40:]), le.Uint16(b[42:])
	return nil
}

// EncodeReply returns the bytes of an answer.
func EncodeReply(a Answer) (b [ReplySize]byte) {
	b[0], b[1] = Version, byte(a)
	return b
}

// DecodeReply reads an answer that fills b.
func DecodeReply(b []byte) (Answer, error) {
	if len(b) != ReplySize || b[0] != Version || Answer(b[1]) >= endAnswers {
		return 0, fmt.Errorf("reply of %d bytes: %w", len(b), ErrMessage)
	}
	return Answer(b[1]), nil
}
