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
	n := len(b)
	if n < longSum || !cpu.X86.HasAVX2 {
		return sumChain(unsafe.SliceData(b), n)
	}
	long := n - n%sumStep
	acc, c := bits.Add64(sumVectors(unsafe.SliceData(b), long), sumChain(unsafe.SliceData(b[long:]), n-long), 0)
	return acc + c
}
