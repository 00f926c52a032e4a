package shm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"linecrypt/ctrlplane/eno"
	"linecrypt/flowtable"
)

// Bounds of the variable parts of messages in bytes.
const (
	MaxENO    = eno.MaxOption
	MaxSecret = 512      // what the control plane wants back with Init2
	MaxInit   = 16 << 10 // an Init message
)

// Errors of messages.
var (
	ErrMessage = errors.New("bad message")
	ErrRoom    = errors.New("no room for the message")
)

// FlowRef names a flow of one data plane: it is stale when the record has another generation by now.
type FlowRef struct {
	Worker uint16
	Index  flowtable.Index
	Gen    uint32
}

// Reason says why the control plane passes, refuses or aborts a connection, or why one is closed.
type Reason uint8

// Reasons. The numbers are part of the shared-memory contract.
const (
	ReasonNone            Reason = iota
	ReasonPolicy                 // policy leaves this connection in the clear
	ReasonNoENO                  // the far end did not answer with ENO
	ReasonBadENO                 // the far end's ENO option is malformed
	ReasonNoTEP                  // no TEP in common
	ReasonRoles                  // both ends claim one role
	ReasonBadInit                // malformed Init message
	ReasonNoAEAD                 // no AEAD in common
	ReasonBadKey                 // public key refused
	ReasonBadSecret              // the handshake state that came back is not ours
	ReasonInternal               // failure of the control plane itself
	ReasonFinished               // both directions were closed
	ReasonReset                  // an end reset the connection
	ReasonTimeout                // silent or unanswered for too long
	ReasonAuthentication         // frames that do not authenticate
	ReasonTruncated              // wire FIN without FINp
	ReasonEvicted                // the table was full
	ReasonProtocol               // frames or segments that the protocol forbids
	ReasonOverload               // a bound on memory or work was reached
	ReasonOrdered                // somebody ordered the gateway to end it
	ReasonKeyLimit               // a key was used as often as it may be, and no other could take its place
	ReasonKeepAlive              // the far end did not answer verified keep-alives
	ReasonUnauthenticated        // policy wants the far end authenticated, and nobody confirmed it in time
	ReasonMismatch               // the peer behind which the far end lies has another session ID, or none
	NumReasons
)

var reasonNames = [NumReasons]string{
	"none", "policy", "no_eno", "bad_eno", "no_tep", "roles", "bad_init", "no_aead", "bad_key", "bad_secret",
	"internal", "finished", "reset", "timeout", "authentication", "truncated", "evicted", "protocol", "overload",
	"ordered", "key_limit", "keep_alive", "unauthenticated", "mismatch",
}

// String returns the reason in snake case, "invalid" for one that does not exist.
func (r Reason) String() string {
	if r < NumReasons {
		return reasonNames[r]
	}
	return "invalid"
}

// The fixed parts of messages are little endian.

func putRef(b []byte, ref FlowRef, seq uint32) {
	le := binary.LittleEndian
	le.PutUint16(b[2:], ref.Worker)
	le.PutUint32(b[4:], uint32(ref.Index))
	le.PutUint32(b[8:], ref.Gen)
	le.PutUint32(b[12:], seq)
}

func getRef(b []byte) (FlowRef, uint32) {
	le := binary.LittleEndian
	ref := FlowRef{Worker: le.Uint16(b[2:]), Index: flowtable.Index(le.Uint32(b[4:])), Gen: le.Uint32(b[8:])}
	return ref, le.Uint32(b[12:])
}

func putKey(b []byte, k *flowtable.Key) {
	copy(b, k.Inside[:])
	copy(b[16:], k.Outside[:])
	binary.LittleEndian.PutUint16(b[32:], k.InsidePort)
	binary.LittleEndian.PutUint16(b[34:], k.OutsidePort)
	binary.LittleEndian.PutUint32(b[36:], k.VLAN)
}

func getKey(b []byte, k *flowtable.Key) {
	copy(k.Inside[:], b)
	copy(k.Outside[:], b[16:])
	k.InsidePort = binary.LittleEndian.Uint16(b[32:])
	k.OutsidePort = binary.LittleEndian.Uint16(b[34:])
	k.VLAN = binary.LittleEndian.Uint32(b[36:])
}

// blob is a variable part of a message: where it is, and what it may be in this kind of message.
type blob struct {
	name  string
	bytes *[]byte
	max   int
	min   int
}

// putBlobs writes the lengths of the blobs to lens, 4 bytes each, and the blobs to body.
func putBlobs(lens, body []byte, blobs []blob) error {
	for i := range blobs {
		b := *blobs[i].bytes
		if len(b) < blobs[i].min || len(b) > blobs[i].max {
			return fmt.Errorf("%s of %d bytes, not %d to %d: %w", blobs[i].name, len(b), blobs[i].min, blobs[i].max, ErrMessage)
		}
		binary.LittleEndian.PutUint32(lens[4*i:], uint32(len(b)))
		body = body[copy(body, b):]
	}
	return nil
}

// getBlobs points the blobs into body, which they must fill.
func getBlobs(lens, body []byte, blobs []blob) error {
	for i := range blobs {
		n := binary.LittleEndian.Uint32(lens[4*i:])
		if n < uint32(blobs[i].min) || n > uint32(blobs[i].max) || n > uint32(len(body)) {
			return fmt.Errorf("%s of %d bytes, not %d to %d: %w", blobs[i].name, n, blobs[i].min, blobs[i].max, ErrMessage)
		}
		*blobs[i].bytes = body[:n:n]
		body = body[n:]
	}
	if len(body) != 0 {
		return fmt.Errorf("%d bytes behind the message: %w", len(body), ErrMessage)
	}
	return nil
}
