package ends

import "unsafe"

const countWords = unsafe.Sizeof(Counts{}) / 8

// Since returns what was counted since before.
func (c Counts) Since(before *Counts) Counts {
	to, from := (*[countWords]uint64)(unsafe.Pointer(&c)), (*[countWords]uint64)(unsafe.Pointer(before))
	for i := range to {
		to[i] -= from[i]
	}
	return c
}
