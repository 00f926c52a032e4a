package packet

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

//go:generate sh -c "cd _gen/sum && go run . -out ../../sum_amd64.s -stubs ../../sum_stubs_amd64.go -pkg packet"

func sumLong(b []byte) uint64 {
	if cpu.X86.HasAVX2 {
		return sumVectors(unsafe.SliceData(b), len(b))
	}
	return sumWords(b)
}
