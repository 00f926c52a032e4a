package packet

import (
	"math/bits"
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate sh -c "cd _gen/sum && go run . -out ../../sum_amd64.s -stubs ../../sum_stubs_amd64.go -pkg packet"

// longSum is the length in bytes from which on vectors are faster, and sumStep what the lengths are multiples of that they sum.
const (
	longSum = 256
	sumStep = 64
)

func sumOf(b []byte) uint64 {
	p, n := unsafe.Pointer(unsafe.SliceData(b)), len(b)
	if n < longSum || !cpu.X86.HasAVX2 {
		return sumChain((*byte)(p), n)
	}
	rest := n % sumStep
	acc, c := bits.Add64(sumVectors((*byte)(p), n-rest), sumChain((*byte)(unsafe.Add(p, n-rest)), rest), 0)
	return acc + c
}
