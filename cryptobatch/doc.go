// Package cryptobatch seals and opens bursts of AEAD operations: AES-128-GCM,
// AES-256-GCM (NIST SP 800-38D) and ChaCha20-Poly1305 (RFC 8439), the three
// algorithms of RFC 8548, Table 5.
//
// An [Engine] is one implementation of all three, chosen once at start by what
// the CPU can do (see [New]). It expands raw keys into [Key] values, which the
// caller stores, and makes one [Batcher] for each core. A Batcher takes a slice
// of [Op], works all of them, in any order it likes and several at once, and
// writes one [Status] into each; there is no error value and no allocation on
// that path.
//
// The package knows nothing of TCP, tcpcrypt frames or packets. It makes no
// nonces and counts no invocations: that a nonce is never used for two
// plaintexts, and that a key is replaced before its AEAD's limits, is up to the
// caller.
//
// Memory belongs to the caller throughout: the ops, the bytes they refer to
// (Go heap, mmap or DPDK memory alike) and the array that holds the keys. An
// engine refers to none of them after a call returns. Not one byte outside of
// Dst is written and none outside of Src and AAD is read.
package cryptobatch
