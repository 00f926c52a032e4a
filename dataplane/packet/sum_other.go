//go:build !amd64

package packet

func sumLong(b []byte) uint64 { return sumWords(b) }
