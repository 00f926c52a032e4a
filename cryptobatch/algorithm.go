package cryptobatch

import "fmt"

// Algorithm is an AEAD, by its number in the tcpcrypt AEAD registry (RFC 8548,
// section 7, Table 5).
type Algorithm uint16

// The AEADs of RFC 8548. Zero is none.
const (
	AES128GCM        Algorithm = 0x0001
	AES256GCM        Algorithm = 0x0002
	ChaCha20Poly1305 Algorithm = 0x0010
)

// Sizes that all three algorithms share, in bytes.
const (
	// NonceLen is the length of a nonce.
	NonceLen = 12
	// TagLen is the length of a tag: what a ciphertext is longer than its plaintext.
	TagLen = 16
	// MaxAAD bounds the associated data of one operation.
	MaxAAD = 64
	// MaxText bounds the plaintext of one operation. It is far above any frame,
	// below the limits of each AEAD, and keeps length sums within a 32-bit int.
	MaxText = 1 << 30
)

// Algorithms lists the algorithms that every engine implements.
func Algorithms() [3]Algorithm {
	return [3]Algorithm{AES128GCM, AES256GCM, ChaCha20Poly1305}
}

// KeyLen is the length of a raw key in bytes, 0 for an unknown algorithm.
func (a Algorithm) KeyLen() int {
	switch a {
	case AES128GCM:
		return 16
	case AES256GCM, ChaCha20Poly1305:
		return 32
	}
	return 0
}

// String returns the name used in configuration, metrics and benchmark reports.
func (a Algorithm) String() string {
	switch a {
	case AES128GCM:
		return "aes-128-gcm"
	case AES256GCM:
		return "aes-256-gcm"
	case ChaCha20Poly1305:
		return "chacha20-poly1305"
	}
	return fmt.Sprintf("aead-0x%04x", uint16(a))
}
