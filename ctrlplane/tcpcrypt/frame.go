package tcpcrypt

import (
	"encoding/binary"
	"errors"
)

// Sizes of an encryption frame in bytes (RFC 8548 section 4.2, all AEADs of section 6).
const (
	HeaderLen = 3                             // control byte and clen
	FlagsLen  = 1                             // first byte of the plaintext value
	UrgentLen = 2                             // urgent field of the plaintext value, present with URGp only
	TagLen    = 16                            // AEAD tag at the end of the ciphertext
	NonceLen  = 12                            // ae_nonce_len
	Overhead  = HeaderLen + FlagsLen + TagLen // what a frame without URGp adds to its data
	MinClen   = FlagsLen + TagLen             // smallest ciphertext: flags and tag
	MaxClen   = 1<<16 - 1                     // largest ciphertext
	MaxData   = MaxClen - FlagsLen - TagLen   // most data in one frame without URGp
	MaxFrame  = HeaderLen + MaxClen           // largest frame
)

// Bits of the control byte and of the flags byte that have a meaning; all others are zero when sent and ignored when
// received.
const (
	ControlRekey byte = 1 << 0 // rekey (RFC 8548 section 3.8)
	FlagFIN      byte = 1 << 0 // FINp (3.7)
	FlagURG      byte = 1 << 1 // URGp (3.7): the urgent field follows
)

// Errors of ParseHeader and ParsePlaintext. They are returned as they are: making them costs no allocation.
var (
	ErrShortHeader    = errors.New("frame header needs 3 bytes")
	ErrShortClen      = errors.New("frame ciphertext shorter than flags and tag")
	ErrShortPlaintext = errors.New("frame plaintext has no flags byte")
	ErrShortUrgent    = errors.New("frame plaintext too short for its urgent field")
)

// Header is the clear part of a frame (RFC 8548 section 4.2).
type Header struct {
	Control byte   // as on the wire, reserved bits included, for they are part of the associated data
	Clen    uint16 // length of the ciphertext field, tag included, in bytes
}

// Rekey reports whether the frame is the first of its sender's next generation (RFC 8548 section 3.8).
func (h Header) Rekey() bool { return h.Control&ControlRekey != 0 }

// FrameLen returns the length of the whole frame in bytes, header included.
func (h Header) FrameLen() int { return HeaderLen + int(h.Clen) }

// PlainLen returns the length of the plaintext value in bytes, flags and urgent field included. The header must come
// from ParseHeader.
func (h Header) PlainLen() int { return int(h.Clen) - TagLen }

// AAD returns the associated data: the header as on the wire (RFC 8548 section 4.2.2).
func (h Header) AAD() [HeaderLen]byte {
	return [HeaderLen]byte{h.Control, byte(h.Clen >> 8), byte(h.Clen)}
}

// Append appends the header to dst. It allocates only where dst lacks room.
func (h Header) Append(dst []byte) []byte {
	return append(dst, h.Control, byte(h.Clen>>8), byte(h.Clen))
}

// Put writes the header over the first 3 bytes of b, which must be there.
func (h Header) Put(b []byte) {
	_ = b[HeaderLen-1]
	b[0] = h.Control
	binary.BigEndian.PutUint16(b[1:], h.Clen)
}

// NewHeader returns the header of a frame to be sent whose plaintext value has plainLen bytes (flags, urgent field and
// data). The second result is false, and the header not to be used, where no frame can have that length.
func NewHeader(plainLen int, rekey bool) (Header, bool) {
	if plainLen < FlagsLen || plainLen > MaxClen-TagLen {
		return Header{}, false
	}
	h := Header{Clen: uint16(plainLen + TagLen)}
	if rekey {
		h.Control = ControlRekey
	}
	return h, true
}

// ParseHeader decodes the header at the start of b, which may hold less or more than the frame. ErrShortHeader means
// that more bytes are needed; ErrShortClen that no AEAD of RFC 8548 can have made this frame. It does not allocate.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, ErrShortHeader
	}
	h := Header{Control: b[0], Clen: binary.BigEndian.Uint16(b[1:HeaderLen])}
	if h.Clen < MinClen {
		return Header{}, ErrShortClen
	}
	return h, nil
}

// Nonce returns the AEAD nonce of the frame that begins at offset in the sender's TCP datastream, Init message included
// (RFC 8548 sections 3.6, 4.2.3): the frame ID exclusive-or the nonce randomizer nr. It does not allocate.
func Nonce(nr [NonceLen]byte, offset uint64) [NonceLen]byte {
	const at = NonceLen - 8
	binary.BigEndian.PutUint64(nr[at:], binary.BigEndian.Uint64(nr[at:])^offset)
	return nr
}

// PutNonce is Nonce into a place that the caller has.
func PutNonce(nonce, nr *[NonceLen]byte, offset uint64) {
	const at = NonceLen - 8
	binary.LittleEndian.PutUint32(nonce[:], binary.LittleEndian.Uint32(nr[:]))
	binary.BigEndian.PutUint64(nonce[at:], binary.BigEndian.Uint64(nr[at:])^offset)
}

// Plaintext is an opened plaintext value (RFC 8548 section 4.2.1).
type Plaintext struct {
	FIN    bool   // FINp: the sender's last frame
	URG    bool   // URGp: Urgent is present
	Urgent uint16 // offset from the frame's beginning to the last byte of urgent data (section 3.7)
	Data   []byte // application data; may be empty
}

// ParsePlaintext decodes an opened plaintext value. Data aliases p; reserved flags are ignored. It does not allocate.
func ParsePlaintext(p []byte) (Plaintext, error) {
	if len(p) < FlagsLen {
		return Plaintext{}, ErrShortPlaintext
	}
	pt := Plaintext{FIN: p[0]&FlagFIN != 0, URG: p[0]&FlagURG != 0}
	if !pt.URG {
		pt.Data = p[FlagsLen:]
		return pt, nil
	}
	if len(p) < FlagsLen+UrgentLen {
		return Plaintext{}, ErrShortUrgent
	}
	pt.Urgent = binary.BigEndian.Uint16(p[FlagsLen:])
	pt.Data = p[FlagsLen+UrgentLen:]
	return pt, nil
}

// PrefixLen returns how many bytes precede the data in the plaintext value: flags, and the urgent field where URG is set.
func (p Plaintext) PrefixLen() int {
	if p.URG {
		return FlagsLen + UrgentLen
	}
	return FlagsLen
}

// AppendPrefix appends flags and urgent field, what precedes the data in the plaintext value. It allocates only where
// dst lacks room.
func (p Plaintext) AppendPrefix(dst []byte) []byte {
	var flags byte
	if p.FIN {
		flags |= FlagFIN
	}
	if !p.URG {
		return append(dst, flags)
	}
	return append(dst, flags|FlagURG, byte(p.Urgent>>8), byte(p.Urgent))
}

// Append appends the whole plaintext value. It allocates only where dst lacks room.
func (p Plaintext) Append(dst []byte) []byte {
	return append(p.AppendPrefix(dst), p.Data...)
}
