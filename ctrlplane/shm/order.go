package shm

import (
	"encoding/binary"
	"fmt"

	"linecrypt/flowtable"
)

// OrderKind says what the control plane orders.
type OrderKind uint8

// The orders. Their numbers lie behind those of replies, whose ring they share. The worker's file orders.go carries them out.
const (
	Rekey   OrderKind = firstOrder + iota // begin another generation of what is sealed (RFC 8548 section 3.8)
	Kill                                  // reset the connection on both sides, for Reason
	Confirm                               // the far end is authenticated: a connection that was held goes on
	endOrders
)

const firstOrder = 0x80

var orderNames = [endOrders - firstOrder]string{"rekey", "kill", "confirm"}

// String returns the kind in snake case.
func (k OrderKind) String() string {
	if k >= firstOrder && k < endOrders {
		return orderNames[k-firstOrder]
	}
	return "invalid"
}

// Order is a message from the control plane to the data plane that answers no request: it is about a connection that has its keys.
// It names it twice, by the record and by its addresses, so that an order which comes late does nothing to another connection. An
// order is not answered; what it has done is in the record.
type Order struct {
	Kind   OrderKind
	Reason Reason // Kill only
	Ref    FlowRef
	Tuple  flowtable.Key
}

// OrderSize is the size of an order in bytes.
const OrderSize = 16 + keyBytes

// IsOrder reports whether a message of the reply ring is an order, and not a reply.
func IsOrder(b []byte) bool { return len(b) > 0 && b[0] >= firstOrder }

// check refuses kinds and reasons that do not exist, and a reason where none is due or none where one is.
func (m *Order) check() error {
	if m.Kind < firstOrder || m.Kind >= endOrders || m.Reason >= NumReasons || (m.Kind == Kill) != (m.Reason != ReasonNone) {
		return fmt.Errorf("kind %d, reason %d: %w", m.Kind, m.Reason, ErrMessage)
	}
	return nil
}

// Encode writes the message to the beginning of b and returns its size. The error wraps ErrRoom, or ErrMessage for a kind or a
// reason that does not exist.
func (m *Order) Encode(b []byte) (int, error) {
	if err := m.check(); err != nil {
		return 0, fmt.Errorf("encode order: %w", err)
	}
	if len(b) < OrderSize {
		return 0, fmt.Errorf("encode %v: %d bytes into %d: %w", m.Kind, OrderSize, len(b), ErrRoom)
	}
	b[0], b[1] = byte(m.Kind), byte(m.Reason)
	putRef(b, m.Ref, 0)
	putKey(b[16:], &m.Tuple)
	return OrderSize, nil
}

// Decode reads the message that fills b. The error wraps ErrMessage, and m is of no use then.
func (m *Order) Decode(b []byte) error {
	*m = Order{}
	if len(b) != OrderSize {
		return fmt.Errorf("decode order of %d bytes: %w", len(b), ErrMessage)
	}
	m.Kind, m.Reason = OrderKind(b[0]), Reason(b[1])
	m.Ref, _ = getRef(b)
	getKey(b[16:], &m.Tuple)
	if err := m.check(); err != nil {
		return fmt.Errorf("decode order: %w", err)
	}
	if binary.LittleEndian.Uint32(b[12:]) != 0 {
		return fmt.Errorf("decode %v: reserved bytes in use: %w", m.Kind, ErrMessage)
	}
	return nil
}
