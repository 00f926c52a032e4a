//go:build !amd64

package cryptobatch

// accelerated lists the engines in assembly: none on this architecture.
func accelerated() []entry { return nil }
