// Package pattern makes streams of bytes that look random and are recognised wherever they turn up: any 16 bytes of them,
// at any offset of a captured packet, say which stream they are from and where they stand in it. Tests send them through
// the gateways, verify what arrives, and look for them on the wire.
//
// It keeps no state but the position of a Reader or a Verifier; all memory is the caller's.
package pattern

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A stream consists of 8-byte words; each is a bijection of (stream, index of the word), so that a word found anywhere can
// be turned back into both.
const (
	wordLen   = 8
	indexBits = 40 // a stream has at most 8 TiB
	// MinRun is the shortest run of bytes that Find reports: it always holds a whole word.
	MinRun = 16
)

func word(stream uint32, index uint64) uint64 {
	return mix(uint64(stream)<<indexBits | index)
}

func locate(w uint64) (stream, index uint64) {
	x := unmix(w)
	return x >> indexBits, x & (1<<indexBits - 1)
}

// The finalizer of MurmurHash3 and its inverse: odd multipliers are invertible modulo 2^64, and a shift by half the word
// or more undoes itself.
const (
	mul1, inv1 = 0xff51afd7ed558ccd, 0x4f74430c22a54005
	mul2, inv2 = 0xc4ceb9fe1a85ec53, 0x9cb4b2f8129337db
	salt       = 0x6c696e6563727970 // so that zeroes are not the first word of stream 0
)

func mix(x uint64) uint64 {
	x ^= salt
	x ^= x >> 33
	x *= mul1
	x ^= x >> 33
	x *= mul2
	return x ^ x>>33
}

func unmix(x uint64) uint64 {
	x ^= x >> 33
	x *= inv2
	x ^= x >> 33
	x *= inv1
	x ^= x >> 33
	return x ^ salt
}

// Fill writes the bytes of a stream from offset on into b.
func Fill(b []byte, stream uint32, offset int64) {
	index := uint64(offset) / wordLen
	if skip := int(uint64(offset) % wordLen); skip != 0 && len(b) > 0 {
		var w [wordLen]byte
		binary.LittleEndian.PutUint64(w[:], word(stream, index))
		b = b[copy(b, w[skip:]):]
		index++
	}
	for ; len(b) >= wordLen; b, index = b[wordLen:], index+1 {
		binary.LittleEndian.PutUint64(b, word(stream, index))
	}
	if len(b) > 0 {
		var w [wordLen]byte
		binary.LittleEndian.PutUint64(w[:], word(stream, index))
		copy(b, w[:])
	}
}

// Differs compares b with the bytes of a stream from offset on, and returns where the first wrong one is in b, or -1.
func Differs(b []byte, stream uint32, offset int64) int {
	at := 0
	for ; at < len(b) && uint64(offset)%wordLen != 0; at, offset = at+1, offset+1 {
		if b[at] != byteAt(stream, offset) {
			return at
		}
	}
	for index := uint64(offset) / wordLen; at+wordLen <= len(b); at, index, offset = at+wordLen, index+1, offset+wordLen {
		if binary.LittleEndian.Uint64(b[at:]) != word(stream, index) {
			break
		}
	}
	for ; at < len(b); at, offset = at+1, offset+1 {
		if b[at] != byteAt(stream, offset) {
			return at
		}
	}
	return -1
}

// Reader reads the first Left bytes of a stream from Offset on.
type Reader struct {
	Stream uint32
	Offset int64
	Left   int64
}

// Read implements io.Reader.
func (r *Reader) Read(b []byte) (int, error) {
	if r.Left <= 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), r.Left))
	Fill(b[:n], r.Stream, r.Offset)
	r.Offset += int64(n)
	r.Left -= int64(n)
	return n, nil
}

// Verifier compares what is written to it with a stream, byte by byte.
type Verifier struct {
	Stream uint32
	Offset int64 // bytes seen and found right
	want   [4096]byte
}

// Write implements io.Writer. The error says where the first wrong byte is and what stands there instead.
func (v *Verifier) Write(b []byte) (int, error) {
	total := len(b)
	for len(b) > 0 {
		n := min(len(b), len(v.want))
		Fill(v.want[:n], v.Stream, v.Offset)
		for i := range n {
			if b[i] != v.want[i] {
				return 0, v.explain(b[i:], v.Offset+int64(i))
			}
		}
		v.Offset += int64(n)
		b = b[n:]
	}
	return total, nil
}

func (v *Verifier) explain(b []byte, at int64) error {
	if r, found := Find(b); found {
		return fmt.Errorf("stream %d: at byte %d stands byte %d of stream %d", v.Stream, at, r.Offset-int64(r.At), r.Stream)
	}
	return fmt.Errorf("stream %d: byte %d is wrong: % x", v.Stream, at, b[:min(len(b), 16)])
}

// Run is a run of a stream's bytes found somewhere.
type Run struct {
	Stream uint32
	Offset int64 // of its first byte in the stream
	At     int   // of its first byte in what was searched
	Len    int
}

// Find looks for the first run of at least MinRun bytes of any stream in b. It misses none and invents none: the chance
// that random bytes are taken for a run is that of guessing them.
func Find(b []byte) (Run, bool) {
	for at := 0; at+wordLen <= len(b); at++ {
		stream, index := locate(binary.LittleEndian.Uint64(b[at:]))
		// Streams are numbered from 0 and short, which lets most random words be told at once.
		if stream > maxStream || index > maxWord {
			continue
		}
		if r := extend(b, at, uint32(stream), int64(index)*wordLen); r.Len >= MinRun {
			return r, true
		}
	}
	return Run{}, false
}

// What Find looks for: streams below 2^20, and the first 64 GiB of each.
const (
	maxStream = 1<<20 - 1
	maxWord   = 1<<33 - 1
)

// extend returns the whole run around the word at b[at], of which the caller knows the place in the stream.
func extend(b []byte, at int, stream uint32, offset int64) Run {
	from, to := at, at+wordLen
	for from > 0 && offset-int64(at-from) > 0 && b[from-1] == byteAt(stream, offset-int64(at-from)-1) {
		from--
	}
	for to < len(b) && b[to] == byteAt(stream, offset+int64(to-at)) {
		to++
	}
	return Run{Stream: stream, Offset: offset - int64(at-from), At: from, Len: to - from}
}

func byteAt(stream uint32, offset int64) byte {
	return byte(word(stream, uint64(offset)/wordLen) >> (8 * (uint64(offset) % wordLen)))
}
