//go:build !amd64

package packet

func sumOf(b []byte) uint64 { return sumWords(b) }
