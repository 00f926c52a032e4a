// Package message is what gateways that list each other as peers tell each other about sessions, as bytes: pure functions with no state.
//
// A message is its length (2 bytes, big endian, of what follows), its kind (1 byte) and a body whose size the kind fixes. A connection
// begins with a Hello of each side. Authenticity and secrecy are the connection's (TLS).
package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"linecrypt/flowtable"
)

// Kind says what a message tells.
type Kind uint8

// The messages.
const (
	Hello Kind = 1 + iota // the sender is there: Version, Nonce
	Tell                  // the sender has a session: ID, Role, Tuple
	Have                  // and the sender has it too: ID
	Lack                  // the sender has no such session, and waited for it: ID
	Gone                  // a session that was told is over, and need not be answered: ID
	Ping                  // the sender is still there
	endKinds
)

var names = [endKinds]string{"", "hello", "tell", "have", "lack", "gone", "ping"}

// String returns the kind's name.
func (k Kind) String() string {
	if k > 0 && k < endKinds {
		return names[k]
	}
	return "invalid"
}

// Version is that of the protocol. A Hello of another one ends the connection.
const Version = 1

// Sizes in bytes.
const (
	IDSize    = 33
	NonceSize = 16
	tupleSize = 16 + 16 + 2 + 2
	head      = 2
	MaxSize   = head + 1 + 1 + IDSize + tupleSize // of a message with its length
)

// ID is a session ID (RFC 8548 section 3.4).
type ID = [IDSize]byte

// bodies are the sizes of the messages' bodies.
var bodies = [endKinds]int{Hello: 1 + NonceSize, Tell: 1 + IDSize + tupleSize, Have: IDSize, Lack: IDSize, Gone: IDSize}

// ErrMessage is wrapped by the errors of Decode and Read about what is no message.
var ErrMessage = errors.New("bad message")

// Message is one message. Fields that its kind does not have are zero.
type Message struct {
	Kind    Kind
	Version uint8           // Hello
	Nonce   [NonceSize]byte // Hello: of this run of the sender, random
	ID      ID
	Role    flowtable.Role // Tell: of the sender's gateway
	Tuple   flowtable.Key  // Tell: as the sender sees it, without the VLAN; inside is its own host
}

// Append appends the message with its length to b. A kind that does not exist is the caller's mistake, and panics.
func (m *Message) Append(b []byte) []byte {
	n := 1 + bodies[m.Kind]
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, byte(m.Kind))
	switch m.Kind {
	case Hello:
		b = append(append(b, m.Version), m.Nonce[:]...)
	case Tell:
		b = append(append(b, byte(m.Role)), m.ID[:]...)
		b = append(append(b, m.Tuple.Inside[:]...), m.Tuple.Outside[:]...)
		b = binary.BigEndian.AppendUint16(b, m.Tuple.InsidePort)
		b = binary.BigEndian.AppendUint16(b, m.Tuple.OutsidePort)
	case Have, Lack, Gone:
		b = append(b, m.ID[:]...)
	case Ping:
	default:
		panic("message: kind " + m.Kind.String())
	}
	return b
}

// Decode reads the message that fills b, without its length. The error wraps ErrMessage.
func (m *Message) Decode(b []byte) error {
	*m = Message{}
	if len(b) == 0 {
		return fmt.Errorf("empty: %w", ErrMessage)
	}
	k := Kind(b[0])
	if k == 0 || k >= endKinds || len(b) != 1+bodies[k] {
		return fmt.Errorf("kind %d of %d bytes: %w", k, len(b), ErrMessage)
	}
	m.Kind, b = k, b[1:]
	switch k {
	case Hello:
		m.Version = b[0]
		copy(m.Nonce[:], b[1:])
	case Tell:
		m.Role = flowtable.Role(b[0])
		if !m.Role.Valid() {
			return fmt.Errorf("role %d: %w", b[0], ErrMessage)
		}
		b = b[1+copy(m.ID[:], b[1:]):]
		b = b[copy(m.Tuple.Inside[:], b):]
		b = b[copy(m.Tuple.Outside[:], b):]
		m.Tuple.InsidePort, m.Tuple.OutsidePort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case Have, Lack, Gone:
		copy(m.ID[:], b)
	}
	return nil
}

// Read reads the next message from r. It reads no byte behind it, and takes no memory, whatever a length says. The error wraps
// ErrMessage, or is that of r: io.EOF at the end between two messages.
func (m *Message) Read(r io.Reader) error {
	var b [MaxSize]byte
	if _, err := io.ReadFull(r, b[:head]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(b[:]))
	if n > MaxSize-head {
		return fmt.Errorf("%d bytes, more than %d: %w", n, MaxSize-head, ErrMessage)
	}
	if _, err := io.ReadFull(r, b[head:head+n]); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return m.Decode(b[head : head+n])
}
