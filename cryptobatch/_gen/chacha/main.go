// Command chacha writes the ChaCha20-Poly1305 assembly of package cryptobatch
// for CPUs with AVX-512 and IFMA: `go generate` in that package.
//
// File chacha.go holds ChaCha20 of single blocks, keys.go of the first blocks of
// operations, texts.go of longer texts, poly.go Poly1305, regs.go what all use.
package main

import . "github.com/mmcloughlin/avo/build"

func main() {
	ConstraintExpr("amd64")
	constants()
	chachaLanes("chachaLanes32", 2)
	chachaLanes("chachaLanes16", 1)
	chachaKeys("chachaKeys32", 2)
	chachaKeys("chachaKeys16", 1)
	chachaTexts()
	tags("chachaSealTags", false)
	tags("chachaOpenTags", true)
	Generate()
}
