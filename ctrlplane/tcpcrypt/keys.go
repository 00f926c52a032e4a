package tcpcrypt

import (
	"crypto/sha256"
)

// KeyLen is K_LEN of all TEPs of RFC 8548 section 5 in bytes: the length of secrets and master keys.
const KeyLen = 32

// Constants of RFC 8548 section 4.3.
const (
	constNextK  byte = 0x01
	constSessID byte = 0x02
	constRekey  byte = 0x03
	constKeyA   byte = 0x04
	constKeyB   byte = 0x05
	constResume byte = 0x06
)

const redacted = "(secret)"

// MasterKey is mk[j], from which the traffic keys of generation j and the next master key follow (RFC 8548 section 3.3).
// It has no pointers.
type MasterKey [KeyLen]byte

// Next returns mk[j+1]. It does not allocate. The caller wipes k once no key is needed from it any more.
func (k *MasterKey) Next() MasterKey {
	return expand1((*[KeyLen]byte)(k), constRekey)
}

// Traffic returns the traffic key of this generation for one direction: k_ab[j] or k_ba[j]. For an AEAD that is not
// Valid it returns the zero key, whose KeyLen of 0 no cipher takes. It does not allocate.
func (k *MasterKey) Traffic(aead AEAD, d Direction) TrafficKey {
	t := TrafficKey{AEAD: aead, KeyLen: uint16(aead.KeyLen())}
	if t.KeyLen == 0 {
		return TrafficKey{}
	}
	constant := constKeyA
	if d == BA {
		constant = constKeyB
	}
	var okm [2 * sha256.Size]byte
	expand2(&okm, (*[KeyLen]byte)(k), constant)
	n := copy(t.Key[:t.KeyLen], okm[:])
	copy(t.NR[:], okm[n:])
	clear(okm[:])
	return t
}

// Wipe erases the key.
func (k *MasterKey) Wipe() { clear(k[:]) }

// String keeps the key out of logs.
func (k MasterKey) String() string { return redacted }

// GoString keeps the key out of logs.
func (k MasterKey) GoString() string { return redacted }

// TrafficKey is k_ab[j] or k_ba[j], divided as in RFC 8548 figure 4: 48 bytes without pointers or padding.
type TrafficKey struct {
	Key    [32]byte       // the AEAD key K in the first KeyLen bytes, zero after them
	NR     [NonceLen]byte // nonce randomizer: see Nonce
	AEAD   AEAD           // the algorithm the key is for
	KeyLen uint16         // ae_key_len in bytes: 16 or 32
}

// Nonce returns the AEAD nonce of the frame at offset: see the function Nonce. It does not allocate.
func (k *TrafficKey) Nonce(offset uint64) [NonceLen]byte { return Nonce(k.NR, offset) }

// Wipe erases the key.
func (k *TrafficKey) Wipe() { *k = TrafficKey{} }

// String names the algorithm and keeps the key out of logs.
func (k TrafficKey) String() string { return k.AEAD.String() + redacted }

// GoString keeps the key out of logs.
func (k TrafficKey) GoString() string { return k.String() }

// expand1 is HKDF-Expand-SHA256(key, label, 32).
func expand1(key *[KeyLen]byte, label byte) [sha256.Size]byte {
	return hmac(key, []byte{label, 1})
}

// expand2 fills okm with HKDF-Expand-SHA256(key, label, 64).
func expand2(okm *[2 * sha256.Size]byte, key *[KeyLen]byte, label byte) {
	var msg [sha256.Size + 2]byte
	t := expand1(key, label)
	copy(okm[:], t[:])
	copy(msg[:], t[:])
	msg[sha256.Size], msg[sha256.Size+1] = label, 2
	t = hmac(key, msg[:])
	copy(okm[sha256.Size:], t[:])
	clear(msg[:])
	clear(t[:])
}

// hmac is HMAC-SHA256 of a message of at most 34 bytes. crypto/hkdf would do, but allocates several times per call and
// leaves key material on the heap: rekeying happens in the data plane, where neither may be.
func hmac(key *[KeyLen]byte, msg []byte) [sha256.Size]byte {
	var inner [sha256.BlockSize + sha256.Size + 2]byte
	var outer [sha256.BlockSize + sha256.Size]byte
	for i := range sha256.BlockSize {
		inner[i], outer[i] = 0x36, 0x5c
	}
	for i, b := range key {
		inner[i] ^= b
		outer[i] ^= b
	}
	n := sha256.BlockSize + copy(inner[sha256.BlockSize:], msg)
	sum := sha256.Sum256(inner[:n])
	copy(outer[sha256.BlockSize:], sum[:])
	sum = sha256.Sum256(outer[:])
	clear(inner[:])
	clear(outer[:])
	return sum
}
