package tcpcrypt

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// ErrAuthentication means that a frame's tag does not match (FAIL in RFC 8548 section 3.6).
var ErrAuthentication = errors.New("frame fails authentication")

// ErrFrameTooLong means that a frame's plaintext does not fit in clen.
var ErrFrameTooLong = errors.New("frame too long")

// ErrShortFrame means that the bytes given end before the frame does.
var ErrShortFrame = errors.New("frame incomplete")

// Frame is one frame with everything a sender can choose: for tests and tools, which also want to send what RFC 8548
// forbids. The data plane seals and opens in place through its crypto batches.
type Frame struct {
	Rekey bool
	Plaintext
	Cres byte // reserved bits of the control byte, of which the rekey bit is left out; zero by the RFC
	Fres byte // reserved bits of the flags byte, of which URGp and FINp are left out; zero by the RFC
}

// Cipher returns the key's AEAD from the standard library or x/crypto. The error wraps ErrAEAD.
func (k *TrafficKey) Cipher() (cipher.AEAD, error) {
	if !k.AEAD.Valid() || int(k.KeyLen) != k.AEAD.KeyLen() {
		return nil, fmt.Errorf("%v with a key of %d bytes: %w", k.AEAD, k.KeyLen, ErrAEAD)
	}
	key := k.Key[:k.KeyLen]
	if k.AEAD == ChaCha20Poly1305 {
		return chacha20poly1305.New(key)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Seal appends the sealed frame to dst. offset is where the frame begins in the sender's TCP datastream, Init message
// included. It allocates and sets the cipher up each time: not for the packet path.
func Seal(dst []byte, key *TrafficKey, offset uint64, f Frame) ([]byte, error) {
	aead, err := key.Cipher()
	if err != nil {
		return dst, err
	}
	plain := f.Append(make([]byte, 0, f.PrefixLen()+len(f.Data)))
	plain[0] |= f.Fres &^ (FlagFIN | FlagURG)
	h, ok := NewHeader(len(plain), f.Rekey)
	if !ok {
		return dst, fmt.Errorf("plaintext of %d bytes: %w", len(plain), ErrFrameTooLong)
	}
	h.Control |= f.Cres &^ ControlRekey
	nonce, aad := key.Nonce(offset), h.AAD()
	return aead.Seal(h.Append(dst), nonce[:], plain, aad[:]), nil
}

// Open opens the frame at the start of b and returns it with its length in bytes; b may hold more. Data is a new slice.
// ErrShortHeader and ErrShortFrame mean that more bytes are needed; ErrShortClen, ErrAuthentication, ErrShortUrgent that
// the frame is bad. It allocates and sets the cipher up each time: not for the packet path.
func Open(key *TrafficKey, offset uint64, b []byte) (Frame, int, error) {
	h, err := ParseHeader(b)
	if err != nil {
		return Frame{}, 0, err
	}
	if len(b) < h.FrameLen() {
		return Frame{}, 0, fmt.Errorf("%d bytes of %d: %w", len(b), h.FrameLen(), ErrShortFrame)
	}
	aead, err := key.Cipher()
	if err != nil {
		return Frame{}, 0, err
	}
	nonce, aad := key.Nonce(offset), h.AAD()
	plain, err := aead.Open(nil, nonce[:], b[HeaderLen:h.FrameLen()], aad[:])
	if err != nil {
		return Frame{}, 0, fmt.Errorf("frame of %d bytes at offset %d: %w", h.FrameLen(), offset, ErrAuthentication)
	}
	p, err := ParsePlaintext(plain)
	if err != nil {
		return Frame{}, 0, err
	}
	f := Frame{Rekey: h.Rekey(), Plaintext: p, Cres: h.Control &^ ControlRekey, Fres: plain[0] &^ (FlagFIN | FlagURG)}
	return f, h.FrameLen(), nil
}
