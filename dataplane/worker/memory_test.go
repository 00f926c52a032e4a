package worker

import "unsafe"

func bytesOf(b []uint64) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(&b[0])), 8*len(b)) }

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(&b[0])) }
