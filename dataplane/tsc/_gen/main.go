// Command _gen writes the assembly of package tsc: `go generate` in the folder above.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("amd64")

	TEXT("Now", NOSPLIT, "func() uint64")
	Doc("Now returns the time-stamp counter. It is not serialising: what is measured are stages of hundreds of cycles.")
	RDTSC()
	SHLQ(Imm(32), reg.RDX)
	ORQ(reg.RDX, reg.RAX)
	Store(reg.RAX, ReturnIndex(0))
	RET()

	Generate()
}
