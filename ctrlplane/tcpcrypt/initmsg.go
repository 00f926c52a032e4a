package tcpcrypt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// InitNonceLen is N_A_LEN and N_B_LEN of all TEPs of RFC 8548 section 5, in bytes.
const InitNonceLen = 32

// MaxInitLen bounds message_len of a received Init message in bytes. RFC 8548 sets no bound; the longest message without
// ignored bytes has 620, and what is held for a peer that is not yet keyed must be bounded.
const MaxInitLen = 16384

// InitPrefixLen is how many bytes of an Init message tell its length.
const InitPrefixLen = 8

// maxCiphers is what the nciphers byte can say.
const maxCiphers = 255

// InitKind says which Init message; its value is the message's magic (RFC 8548 section 4.3).
type InitKind uint32

// The two Init messages: Init1 goes from host A to host B, Init2 back.
const (
	KindInit1 InitKind = 0x15101a0e
	KindInit2 InitKind = 0x097105e0
)

// String returns "init1" or "init2".
func (k InitKind) String() string {
	switch k {
	case KindInit1:
		return "init1"
	case KindInit2:
		return "init2"
	}
	return "init message of unknown kind"
}

// Errors that what is wrong with an Init message wraps. Each asks for an abort (RFC 8548 section 3.3).
var (
	ErrInitMagic      = errors.New("wrong magic")
	ErrInitLength     = errors.New("message length out of bounds")
	ErrInitTruncated  = errors.New("message truncated")
	ErrInitNoCiphers  = errors.New("no symmetric cipher offered")
	ErrInitPublicKey  = errors.New("malformed public key")
	ErrNoCommonAEAD   = errors.New("no acceptable AEAD among those offered")
	ErrNotOfferedAEAD = errors.New("selected AEAD was not offered")
)

// MessageLen tells a reader of the TCP datastream how long the Init message of the given kind is that begins with prefix.
// need is true while the prefix is shorter than InitPrefixLen and could still be right: read on. Otherwise n is
// message_len, the length of the whole message in bytes, between 8 and MaxInitLen, or err says what is wrong: the magic,
// as soon as a byte of it differs, or the length.
func MessageLen(kind InitKind, prefix []byte) (n int, need bool, err error) {
	var magic [4]byte
	binary.BigEndian.PutUint32(magic[:], uint32(kind))
	for i := 0; i < len(magic) && i < len(prefix); i++ {
		if prefix[i] != magic[i] {
			return 0, false, fmt.Errorf("%v: byte %d is 0x%02x: %w", kind, i, prefix[i], ErrInitMagic)
		}
	}
	if len(prefix) < InitPrefixLen {
		return 0, true, nil
	}
	m := binary.BigEndian.Uint32(prefix[4:])
	if m < InitPrefixLen || m > MaxInitLen {
		return 0, false, fmt.Errorf("%v: message_len %d: %w", kind, m, ErrInitLength)
	}
	return int(m), false, nil
}

// Init1 is host A's key-exchange message (RFC 8548 section 4.1).
type Init1 struct {
	Ciphers []AEAD             // sym_cipher_list; a received one may hold unknown values
	Nonce   [InitNonceLen]byte // N_A
	Public  []byte             // Pub_A as on the wire, with its length prefix where the TEP has one
}

// Init2 is host B's key-exchange message (RFC 8548 section 4.1).
type Init2 struct {
	Cipher AEAD               // sym_cipher: the selected one
	Nonce  [InitNonceLen]byte // N_B
	Public []byte             // Pub_B as on the wire, with its length prefix where the TEP has one
}

// Append appends the encoded message to dst, without ignored bytes. It refuses an empty or too long cipher list, and a
// public key that is not of tep's length.
func (m Init1) Append(dst []byte, tep TEP) ([]byte, error) {
	if len(m.Ciphers) == 0 {
		return dst, fmt.Errorf("init1: %w", ErrInitNoCiphers)
	}
	if len(m.Ciphers) > maxCiphers {
		return dst, fmt.Errorf("init1: %d ciphers offered: %w", len(m.Ciphers), ErrInitLength)
	}
	if err := checkPublic(tep, m.Public, KindInit1); err != nil {
		return dst, err
	}
	n := InitPrefixLen + 1 + 2*len(m.Ciphers) + InitNonceLen + len(m.Public)
	dst = binary.BigEndian.AppendUint32(dst, uint32(KindInit1))
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, byte(len(m.Ciphers)))
	for _, c := range m.Ciphers {
		dst = binary.BigEndian.AppendUint16(dst, uint16(c))
	}
	dst = append(dst, m.Nonce[:]...)
	return append(dst, m.Public...), nil
}

// Append appends the encoded message to dst, without ignored bytes. It refuses a public key that is not of tep's length.
func (m Init2) Append(dst []byte, tep TEP) ([]byte, error) {
	if err := checkPublic(tep, m.Public, KindInit2); err != nil {
		return dst, err
	}
	n := InitPrefixLen + 2 + InitNonceLen + len(m.Public)
	dst = binary.BigEndian.AppendUint32(dst, uint32(KindInit2))
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = binary.BigEndian.AppendUint16(dst, uint16(m.Cipher))
	dst = append(dst, m.Nonce[:]...)
	return append(dst, m.Public...), nil
}

func checkPublic(tep TEP, public []byte, kind InitKind) error {
	rest, err := splitPublic(tep, public, kind)
	if err == nil && len(rest) != len(public) {
		err = fmt.Errorf("%v: public key has %d bytes, not %d: %w", kind, len(public), len(rest), ErrInitPublicKey)
	}
	return err
}

// ParseInit1 decodes a whole Init1 message: msg has exactly message_len bytes. Bytes after the public key are permitted
// and ignored. Public aliases msg; it is not yet validated as a point: PrivateKey.Shared does that.
func ParseInit1(tep TEP, msg []byte) (Init1, error) {
	body, err := initBody(KindInit1, msg)
	if err != nil {
		return Init1{}, err
	}
	if len(body) < 1 {
		return Init1{}, fmt.Errorf("init1: no nciphers: %w", ErrInitTruncated)
	}
	n := int(body[0])
	if n == 0 {
		return Init1{}, fmt.Errorf("init1: %w", ErrInitNoCiphers)
	}
	body = body[1:]
	if len(body) < 2*n+InitNonceLen {
		return Init1{}, fmt.Errorf("init1: %d bytes for %d ciphers and a nonce: %w", len(body), n, ErrInitTruncated)
	}
	m := Init1{Ciphers: make([]AEAD, n)}
	for i := range m.Ciphers {
		m.Ciphers[i] = AEAD(binary.BigEndian.Uint16(body[2*i:]))
	}
	body = body[2*n:]
	m.Nonce = [InitNonceLen]byte(body)
	m.Public, err = splitPublic(tep, body[InitNonceLen:], KindInit1)
	if err != nil {
		return Init1{}, err
	}
	return m, nil
}

// ParseInit2 decodes a whole Init2 message: msg has exactly message_len bytes. Bytes after the public key are permitted
// and ignored. Public aliases msg; it is not yet validated as a point: PrivateKey.Shared does that. Whether the cipher
// was offered is for CheckSelected.
func ParseInit2(tep TEP, msg []byte) (Init2, error) {
	body, err := initBody(KindInit2, msg)
	if err != nil {
		return Init2{}, err
	}
	if len(body) < 2+InitNonceLen {
		return Init2{}, fmt.Errorf("init2: %d bytes for cipher and nonce: %w", len(body), ErrInitTruncated)
	}
	m := Init2{Cipher: AEAD(binary.BigEndian.Uint16(body)), Nonce: [InitNonceLen]byte(body[2:])}
	m.Public, err = splitPublic(tep, body[2+InitNonceLen:], KindInit2)
	if err != nil {
		return Init2{}, err
	}
	return m, nil
}

// initBody checks magic and length of a whole message and returns what follows them.
func initBody(kind InitKind, msg []byte) ([]byte, error) {
	n, need, err := MessageLen(kind, msg)
	if err != nil {
		return nil, err
	}
	if need || n > len(msg) {
		return nil, fmt.Errorf("%v: %d bytes given: %w", kind, len(msg), ErrInitTruncated)
	}
	if n < len(msg) {
		return nil, fmt.Errorf("%v: %d bytes given for message_len %d: %w", kind, len(msg), n, ErrInitLength)
	}
	return msg[InitPrefixLen:], nil
}

// splitPublic returns the public key at the start of b as on the wire; what follows it is ignored.
func splitPublic(tep TEP, b []byte, kind InitKind) ([]byte, error) {
	n := tep.publicLen()
	if n == 0 {
		return nil, fmt.Errorf("%v: %v: %w", kind, tep, ErrTEP)
	}
	if tep.prefixed() && len(b) >= publicPrefixLen {
		if l := int(binary.BigEndian.Uint16(b)); l != n-publicPrefixLen {
			return nil, fmt.Errorf("%v: pubkey_len %d for %v: %w", kind, l, tep, ErrInitPublicKey)
		}
	}
	if len(b) < n {
		return nil, fmt.Errorf("%v: %d bytes for a public key of %d: %w", kind, len(b), n, ErrInitTruncated)
	}
	return b[:n:n], nil
}

// SelectCipher returns host B's choice among the offered ciphers: the first of prefer, which is in order of preference,
// that was offered. The error wraps ErrNoCommonAEAD, where host B has nothing it could answer and aborts.
func SelectCipher(prefer, offered []AEAD) (AEAD, error) {
	for _, a := range prefer {
		if a.Valid() && slices.Contains(offered, a) {
			return a, nil
		}
	}
	return 0, fmt.Errorf("%d ciphers offered: %w", len(offered), ErrNoCommonAEAD)
}

// CheckSelected is host A's check that Init2 selects a cipher that its Init1 offered; else it must abort (RFC 8548
// section 3.3). The error wraps ErrNotOfferedAEAD, or ErrAEAD for one that was offered but is unknown.
func CheckSelected(sent Init1, got Init2) error {
	if !slices.Contains(sent.Ciphers, got.Cipher) {
		return fmt.Errorf("init2: %v: %w", got.Cipher, ErrNotOfferedAEAD)
	}
	if !got.Cipher.Valid() {
		return fmt.Errorf("init2: %v: %w", got.Cipher, ErrAEAD)
	}
	return nil
}
