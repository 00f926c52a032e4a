// Command chacha writes the ChaCha20-Poly1305 assembly of package cryptobatch
// for CPUs with AVX-512 and IFMA: `go generate` in that package.
//
// File chacha.go holds ChaCha20, poly.go Poly1305, regs.go what both use.
package main

import . "github.com/mmcloughlin/avo/build"

func main() {
	ConstraintExpr("amd64")
	constants()
	chachaLanes("chachaLanes32", 2)
	chachaLanes("chachaLanes16", 1)
	chachaRuns()
	polyLanes()
	Generate()
}
