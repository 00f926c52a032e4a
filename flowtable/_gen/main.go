// Command _gen writes the assembly of package flowtable: `go generate` in the folder above. What it writes has a twin in Go there, and a
// test holds both equal, the sizes and offsets below included.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Sizes and offsets in a bucket, a Record and a Key, which a Record begins with.
const (
	bucketShift = 6 // a bucket has 64 bytes
	bucketRest  = 16
	bucketIndex = 24
	recordSize  = 960
	recordHash  = 40
	keySize     = 40
)

// Where everything is. i counts the keys; the others below it hold what a loop's body works on.
var (
	buckets, primary, records, capacity = reg.RDI, reg.RSI, reg.R8, reg.R9
	keys, hashes, out, n                = reg.R10, reg.R11, reg.R12, reg.RCX

	i, at, u, v = reg.RBX, reg.RAX, reg.RDX, reg.R13
)

func main() {
	ConstraintExpr("amd64")
	TEXT("findAll", NOSPLIT, "func(buckets *byte, primary uint32, records *byte, capacity uint32, keys *byte, hashes, out *uint32, n int) (missed uint64)")
	Pragma("noescape")
	Doc("findAll is findAllGo in assembly. Each loop touches lines that the next one needs, so that misses of the cache overlap.")
	Load(Param("buckets"), buckets)
	Load(Param("primary"), primary.As32())
	Load(Param("records"), records)
	Load(Param("capacity"), capacity.As32())
	Load(Param("keys"), keys)
	Load(Param("hashes"), hashes)
	Load(Param("out"), out)
	Load(Param("n"), n)
	homes()
	candidates()
	touch()
	missed := compare()
	Store(missed, ReturnIndex(0))
	RET()
	Generate()
}

// entry is the place of what belongs to key i in an array of 32-bit numbers.
func entry(array reg.GPPhysical) Mem { return Mem{Base: array, Index: i, Scale: 4} }

// each runs body for every key.
func each(name string, body func()) {
	XORL(i.As32(), i.As32())
	Label(name)
	body()
	INCQ(i)
	CMPQ(i, n)
	JNE(LabelRef(name))
}

// homes stores where the bucket of each hash is, and touches it.
func homes() {
	each("home", func() {
		MOVL(entry(hashes), at.As32())
		IMULQ(primary, at)
		SHRQ(Imm(32), at)
		SHLQ(Imm(bucketShift), at)
		MOVL(at.As32(), entry(out))
		MOVQ(Mem{Base: buckets, Index: at, Scale: 1}, u)
	})
}

// candidates stores the first record in each bucket whose tag is the hash's, 0 where there is none.
func candidates() {
	tag, tags, rest := reg.X0, reg.X1, reg.X2
	none := reg.R14
	XORL(none.As32(), none.As32())
	each("candidate", func() {
		MOVL(entry(out), at.As32())
		ADDQ(buckets, at)
		MOVD(entry(hashes), tag)
		PSHUFLW(Imm(0), tag, tag)
		PSHUFD(Imm(0), tag, tag)
		MOVOU(Mem{Base: at}, tags)
		MOVQ(Mem{Base: at, Disp: bucketRest}, rest)
		PCMPEQW(tag, tags)
		PCMPEQW(tag, rest)
		PMOVMSKB(tags, u.As32())
		PMOVMSKB(rest, v.As32())
		ANDL(Imm(0xf), v.As32()) // two tags, and the number of the next bucket
		SHLL(Imm(16), v.As32())
		ORL(v.As32(), u.As32())
		BSFL(u.As32(), v.As32())
		CMOVLEQ(none.As32(), v.As32())
		SHRL(Imm(1), v.As32())
		MOVL(Mem{Base: at, Index: v, Scale: 4, Disp: bucketIndex}, at.As32())
		TESTL(u.As32(), u.As32())
		CMOVLEQ(none.As32(), at.As32())
		CMPL(at.As32(), capacity.As32())
		CMOVLHI(none.As32(), at.As32())
		MOVL(at.As32(), entry(out))
	})
}

// touch touches the records; record 0 is there, and nobody's.
func touch() {
	each("touch", func() {
		MOVL(entry(out), at.As32())
		IMUL3Q(U32(recordSize), at, at)
		MOVL(Mem{Base: records, Index: at, Scale: 1, Disp: recordHash}, u.As32())
	})
}

// compare makes a bit for each key that is not the record's, the first key's the highest one.
func compare() reg.GPPhysical {
	key, missed := reg.R14, reg.R15
	XORL(missed.As32(), missed.As32())
	MOVQ(keys, key)
	each("compare", func() {
		MOVL(entry(out), at.As32())
		CMPL(at.As32(), Imm(1))
		SBBQ(v, v) // all bits for record 0
		IMUL3Q(U32(recordSize), at, at)
		ADDQ(records, at)
		MOVOU(Mem{Base: at}, reg.X0)
		MOVOU(Mem{Base: at, Disp: 16}, reg.X1)
		MOVOU(Mem{Base: key}, reg.X2)
		MOVOU(Mem{Base: key, Disp: 16}, reg.X3)
		PCMPEQB(reg.X2, reg.X0)
		PCMPEQB(reg.X3, reg.X1)
		PAND(reg.X1, reg.X0)
		PMOVMSKB(reg.X0, u.As32())
		XORL(U32(0xffff), u.As32())
		ORQ(u, v)
		MOVQ(Mem{Base: key, Disp: 32}, u)
		XORQ(Mem{Base: at, Disp: 32}, u)
		ORQ(u, v)
		MOVL(entry(hashes), u.As32())
		XORL(Mem{Base: at, Disp: recordHash}, u.As32())
		ORQ(u, v)
		NEGQ(v) // carries unless it is 0
		ADCQ(missed, missed)
		ADDQ(Imm(keySize), key)
	})
	return missed
}
