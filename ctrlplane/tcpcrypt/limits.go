package tcpcrypt

// Limits is what may be sealed under one key.
type Limits struct {
	Frames uint64
	Bytes  uint64 // on the wire
}

// Limits returns what may be sealed under one key of the AEAD and never more, however the gateway is configured.
//
// AES-GCM: an attacker who sees s blocks in q messages has an advantage of at most (s + q + 1)^2 / 2^129 (draft-irtf-cfrg-aead-limits,
// section 5.1). RFC 8446 section 5.5 bounds it to 2^-60 for TLS: 2^24.5 records of 2^14 bytes, which are 2^34.5 blocks. A frame of
// tcpcrypt may have any length to 2^16 bytes, so that blocks count: 2^38 bytes in 2^31 frames are, with a block that is not full in each,
// 2^34 + 2^31 of them, and s + q + 1 is less than 2^34.5.
//
// ChaCha20-Poly1305 has no such limit in practice (the same, section 5.2; RFC 9001 section 6.6): what bounds it here is how far frames
// are counted.
//
// Nonces never repeat under a key of either: they are positions in a stream that ends before 2^64 (RFC 8548 section 3.6).
func (a AEAD) Limits() Limits {
	l := Limits{Frames: 1 << 31, Bytes: 1 << 62}
	if a == AES128GCM || a == AES256GCM {
		l.Bytes = 1 << 38
	}
	return l
}
