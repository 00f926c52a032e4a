package shm

import (
	"encoding/binary"
	"fmt"

	"linecrypt/flowtable"
)

// ReplyKind says what the control plane answers.
type ReplyKind uint8

// The replies.
const (
	Pass   ReplyKind = 1 + iota // to ActiveAnswer: leave the connection in the clear
	Refuse                      // to ActiveAnswer: do not let the connection come about
	Init1                       // to ActiveAnswer: send Init1, keep Secret for ActiveKeys
	Keys                        // to ActiveKeys, PassiveKeys, ActiveResume and PassiveResume: there are keys
	Abort                       // to all: the handshake failed, reset the connection
	endReplies
)

var replyNames = [endReplies]string{"", "pass", "refuse", "init1", "keys", "abort"}

// String returns the kind in snake case.
func (k ReplyKind) String() string {
	if k > 0 && k < endReplies {
		return replyNames[k]
	}
	return "invalid"
}

// Sizes of key material in bytes. A traffic key is the AEAD key, zero-padded to 32 bytes, and the nonce randomizer.
const (
	MasterKeySize  = 32
	TrafficKeySize = 32 + 12
	SessionIDSize  = 33
)

// Reply is a message from the control plane to the data plane. Slices that Decode sets point into the bytes decoded.
type Reply struct {
	Kind   ReplyKind
	Reason Reason // Pass, Refuse, Abort
	Ref    FlowRef
	Seq    uint32         // of the request
	Role   flowtable.Role // of the gateway; Keys only
	TEP    uint8          // negotiated TEP byte; Init1 and Keys
	AEAD   uint16         // Keys only
	// Resumed says that the keys come from an earlier session (RFC 8548 section 3.5); Keys only.
	Resumed bool
	// SendsBA says of resumed keys that this end seals with k_ba: it was host B of the session that they come from, whatever its role
	// is in this connection.
	SendsBA bool
	// Hold says that the host must not go on before a later word of the control plane, because policy wants the far end
	// authenticated first; Keys only.
	Hold   bool
	Secret []byte // opaque to the data plane, up to MaxSecret bytes; Init1 only
	Init   []byte // Init1, or in Keys of a passive connection Init2; up to MaxInit bytes
	Keys   KeyBlock
}

// KeyBlock is what a Keys reply installs. Out seals (inside to outside), In opens.
type KeyBlock struct {
	Master    [MasterKeySize]byte // the next generation comes from it (RFC 8548 section 3.8)
	Out       [TrafficKeySize]byte
	In        [TrafficKeySize]byte
	SessionID [SessionIDSize]byte // TEP byte first
}

// Bits of the byte behind AEAD.
const (
	replyResumed = 1 << iota
	replyHold
	replySendsBA
	replyFlags // all above are reserved
)

const (
	replyBlobs = 2
	replyFixed = 24 + replyBlobs*4
	keyBlock   = (MasterKeySize + 2*TrafficKeySize + SessionIDSize + 7) &^ 7
)

func (m *Reply) blobs() [replyBlobs]blob {
	minimum := 8
	if m.Kind == Keys && len(m.Init) == 0 {
		minimum = 0
	}
	init := only(m.Kind == Init1 || m.Kind == Keys, "init", &m.Init, minimum, MaxInit)
	return [replyBlobs]blob{
		only(m.Kind == Init1, "secret", &m.Secret, 1, MaxSecret),
		init,
	}
}

// fixed returns the bytes before the blobs.
func (m *Reply) fixed() int {
	if m.Kind == Keys {
		return replyFixed + keyBlock
	}
	return replyFixed
}

// Size returns the bytes Encode writes.
func (m *Reply) Size() int { return m.fixed() + len(m.Secret) + len(m.Init) }

// check refuses kinds and codes that do not exist, and codes in kinds that have none.
func (m *Reply) check() error {
	if m.Kind == 0 || m.Kind >= endReplies || m.Reason >= NumReasons {
		return fmt.Errorf("kind %d, reason %d: %w", m.Kind, m.Reason, ErrMessage)
	}
	if m.Kind == Keys && !m.Role.Valid() {
		return fmt.Errorf("role %v: %w", m.Role, ErrMessage)
	}
	if m.Kind != Keys && (m.Resumed || m.Hold || m.SendsBA) {
		return fmt.Errorf("%v with the flags of keys: %w", m.Kind, ErrMessage)
	}
	return nil
}

// Encode writes the message to the beginning of b and returns its size. It copies all it writes. The error wraps ErrRoom, or
// ErrMessage for a field that is out of bounds or not of this kind.
func (m *Reply) Encode(b []byte) (int, error) {
	if err := m.check(); err != nil {
		return 0, fmt.Errorf("encode reply: %w", err)
	}
	n, fixed := m.Size(), m.fixed()
	if len(b) < n {
		return 0, fmt.Errorf("encode %v: %d bytes into %d: %w", m.Kind, n, len(b), ErrRoom)
	}
	clear(b[:fixed])
	b[0], b[1] = byte(m.Kind), byte(m.Reason)
	putRef(b, m.Ref, m.Seq)
	b[16], b[17] = byte(m.Role), m.TEP
	binary.LittleEndian.PutUint16(b[18:], m.AEAD)
	if m.Resumed {
		b[20] |= replyResumed
	}
	if m.Hold {
		b[20] |= replyHold
	}
	if m.SendsBA {
		b[20] |= replySendsBA
	}
	if m.Kind == Keys {
		m.Keys.put(b[replyFixed:fixed])
	}
	blobs := m.blobs()
	if err := putBlobs(b[24:replyFixed], b[fixed:n], blobs[:]); err != nil {
		clear(b[:fixed])
		return 0, fmt.Errorf("encode %v: %w", m.Kind, err)
	}
	return n, nil
}

// Decode reads the message that fills b; its slices point into b. The error wraps ErrMessage, and m is of no use then.
func (m *Reply) Decode(b []byte) error {
	*m = Reply{}
	if len(b) < replyFixed {
		return fmt.Errorf("decode reply of %d bytes: %w", len(b), ErrMessage)
	}
	m.Kind, m.Reason = ReplyKind(b[0]), Reason(b[1])
	m.Ref, m.Seq = getRef(b)
	m.Role, m.TEP, m.AEAD = flowtable.Role(b[16]), b[17], binary.LittleEndian.Uint16(b[18:])
	m.Resumed, m.Hold = b[20]&replyResumed != 0, b[20]&replyHold != 0
	m.SendsBA = b[20]&replySendsBA != 0
	if b[20] >= replyFlags {
		return fmt.Errorf("decode reply with flags %#x: %w", b[20], ErrMessage)
	}
	if err := m.check(); err != nil {
		return fmt.Errorf("decode reply: %w", err)
	}
	fixed := m.fixed()
	if len(b) < fixed {
		return fmt.Errorf("decode %v of %d bytes: %w", m.Kind, len(b), ErrMessage)
	}
	if m.Kind == Keys {
		m.Keys.get(b[replyFixed:fixed])
	}
	return m.getBlobs(b[24:replyFixed], b[fixed:])
}

func (m *Reply) getBlobs(lens, body []byte) error {
	blobs := m.blobs()
	if m.Kind == Keys && binary.LittleEndian.Uint32(lens[4:]) != 0 {
		blobs[1].min = 8
	}
	if err := getBlobs(lens, body, blobs[:]); err != nil {
		return fmt.Errorf("decode %v: %w", m.Kind, err)
	}
	return nil
}

func (k *KeyBlock) put(b []byte) {
	b = b[copy(b, k.Master[:]):]
	b = b[copy(b, k.Out[:]):]
	b = b[copy(b, k.In[:]):]
	copy(b, k.SessionID[:])
}

func (k *KeyBlock) get(b []byte) {
	b = b[copy(k.Master[:], b):]
	b = b[copy(k.Out[:], b):]
	b = b[copy(k.In[:], b):]
	copy(k.SessionID[:], b)
}

// Erase overwrites the key material of a decoded or sent reply.
func (m *Reply) Erase() { m.Keys = KeyBlock{} }
