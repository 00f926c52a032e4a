// Command _gen writes the assembly of package packet: `go generate` in the folder above. What it writes has a twin in Go there, and a test
// holds both equal, the offsets below included.
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"linecrypt/dataplane/_gen/lines"
)

// Offsets in an Mbuf.
const (
	bufAddr   = 0
	dataOff   = 16
	olFlags   = 24
	pktLen    = 36
	dataLen   = 40
	txOffload = 72
)

// Offsets in a Packet, which has packetSize bytes.
const (
	packetSize = 112
	pM         = 0
	pClass     = 8 // class, version, protocol and flags, a byte each
	pL3        = 12
	pSeq       = 20
	pWin       = 28
	pUrg       = 30
	pPorts     = 32
	pVLAN      = 36
	pPresent   = 40
	pENOLen    = 48 // and TFOLen, usual
	pTSOff     = 54
	pTSVal     = 64
	pBehind    = 104
)

// Offsets in a Translation.
const (
	tSeq   = 0
	tAck   = 4
	tWin   = 8
	tFlags = 10
	tTSVal = 12
	tTSEcr = 16
)

// Offsets in a Moved.
const (
	vM           = 0
	vOff         = 8
	vLen         = 16
	vTranslation = 24
)

// Where the parts of an untagged IPv4 packet without options lie, and values in them.
const (
	l3        = 14
	l4        = 34
	head      = 54
	headTS    = 66
	begins    = 0x450008   // EtherType, version and length of the header, as loaded
	fragment  = 0xff3f     // more fragments, or an offset, as loaded
	options   = 0x0a080101 // two NOPs, kind and length of timestamps, as loaded
	tcp       = 6
	classTCP  = 2
	unparsed  = 255
	same      = 1
	other     = 2
	usualNone = 1
	usualTS   = 2
	present   = 16 // OptTimestamps
)

const (
	// For how many packets of a run the lines that are written are on their way to the first-level cache: RunAhead of the package.
	runAhead = 4
	// For how many packets the headers are on their way from memory: a line must come from there while so many packets are parsed.
	ahead = 16
)

func main() {
	ConstraintExpr("amd64")
	parse()
	translate()
	translateRun()
	prefetchRun()
	Generate()
}

// at is the place at an offset from a register.
func at(r reg.Register, off int) Mem { return Mem{Base: r, Disp: off} }

func parse() {
	TEXT("parseUsual", NOSPLIT, "func(ms **byte, pkts *byte, count int) (bytes uint64, usual int)")
	Pragma("noescape")
	Doc("parseUsual parses those of count packets that are TCP segments in untagged IPv4 packets without options, with timestamps in their",
		"usual place as their only option or with none, and sets the class of all others to unparsed. It returns the length of all of them",
		"and the number of the parsed ones. Of the packets that come next it asks for the lines with the headers. count is not 0.")
	ms, pkt, left := reg.RAX, reg.RDI, reg.RCX
	bytes, usual, addrs, ports := reg.R8, reg.R9, reg.R10, reg.R11
	m, data, size, t := reg.RDX, reg.RSI, reg.R13, reg.RBX
	Load(Param("ms"), ms)
	Load(Param("pkts"), pkt)
	Load(Param("count"), left)
	XORL(bytes.As32(), bytes.As32())
	XORL(usual.As32(), usual.As32())
	XORL(addrs.As32(), addrs.As32())
	different := reg.R15 // what is said of a usual packet that is not of the same end as the one before it
	MOVL(U32(other), different.As32())
	MOVQ(I32(-1), ports)

	Comment("The first packets' lines.")
	n, from := reg.R12, reg.R13
	MOVQ(U32(ahead), n)
	CMPQ(left, n)
	CMOVQLT(left, n)
	MOVQ(ms, from)
	Label("first")
	MOVQ(at(from, 0), m)
	lines.Headers(m, data, t)
	ADDQ(Imm(8), from)
	DECQ(n)
	JNZ(LabelRef("first"))

	Label("next")
	CMPQ(left, Imm(ahead))
	JLE(LabelRef("asked"))
	MOVQ(at(ms, 8*ahead), m)
	lines.Headers(m, data, t)
	Label("asked")
	MOVQ(at(ms, 0), m)
	MOVL(at(m, pktLen), t.As32())
	ADDQ(t, bytes)
	MOVQ(m, at(pkt, pM))
	MOVQ(at(m, bufAddr), data)
	MOVWLZX(at(m, dataOff), t.As32())
	ADDQ(t, data)
	MOVWLZX(at(m, dataLen), size.As32())

	Comment("Whether it is one.")
	CMPQ(size, Imm(head))
	JLT(LabelRef("other"))
	MOVL(at(data, 12), t.As32())
	ANDL(U32(0xffffff), t.As32())
	CMPL(t.As32(), U32(begins))
	JNE(LabelRef("other"))
	CMPB(at(data, l3+9), Imm(tcp))
	JNE(LabelRef("other"))
	MOVWLZX(at(data, l3+6), t.As32())
	TESTL(U32(fragment), t.As32())
	JNE(LabelRef("other"))
	end, header, opts := reg.R12, reg.R14, reg.RBX
	MOVWLZX(at(data, l3+2), end.As32())
	ROLW(Imm(8), end.As16())
	ADDQ(Imm(l3), end)
	CMPQ(end, size)
	JGT(LabelRef("other"))
	MOVBLZX(at(data, l4+12), t.As32())
	SHRL(Imm(4), t.As32())
	CMPL(t.As32(), Imm(5))
	JEQ(LabelRef("none"))
	CMPL(t.As32(), Imm(8))
	JNE(LabelRef("other"))
	CMPQ(end, Imm(headTS))
	JLT(LabelRef("other"))
	CMPL(at(data, head), U32(options))
	JNE(LabelRef("other"))
	MOVQ(at(data, head+4), t)
	BSWAPQ(t)
	ROLQ(Imm(32), t)
	MOVQ(t, at(pkt, pTSVal))
	MOVQ(U32(present), at(pkt, pPresent))
	MOVL(U32(usualTS<<16), at(pkt, pENOLen))
	MOVW(U16(head+2), at(pkt, pTSOff))
	MOVL(U32(headTS), header.As32())
	Label("write")

	MOVBLZX(at(data, l4+13), opts.As32())
	SHLL(Imm(24), opts.As32())
	ORL(U32(tcp<<16|4<<8|classTCP), opts.As32())
	MOVL(opts.As32(), at(pkt, pClass))
	SUBQ(header, end)
	SHLQ(Imm(16), end)
	ORQ(header, end)
	SHLQ(Imm(32), end)
	ORQ(U32(l4<<16|l3), end)
	MOVQ(end, at(pkt, pL3))
	MOVQ(at(data, l4+4), t)
	BSWAPQ(t)
	ROLQ(Imm(32), t)
	MOVQ(t, at(pkt, pSeq))
	MOVWLZX(at(data, l4+14), t.As32())
	ROLW(Imm(8), t.As16())
	MOVW(t.As16(), at(pkt, pWin))
	MOVWLZX(at(data, l4+18), t.As32())
	ROLW(Imm(8), t.As16())
	MOVW(t.As16(), at(pkt, pUrg))
	MOVL(U32(0), at(pkt, pVLAN))

	Comment("Whether it comes from the same end of the same connection as the one before it.")
	MOVQ(at(data, l3+12), size)
	MOVL(at(data, l4), header.As32())
	XORQ(size, addrs)
	XORQ(header, ports)
	MOVL(U32(same), end.As32())
	ORQ(addrs, ports)
	CMOVLNE(different.As32(), end.As32())
	MOVB(end.As8(), at(pkt, pBehind))
	MOVL(U32(other), different.As32())
	MOVQ(size, addrs)
	MOVQ(header, ports)
	BSWAPL(header.As32())
	ROLL(Imm(16), header.As32())
	MOVL(header.As32(), at(pkt, pPorts))
	INCQ(usual)
	Label("done")
	ADDQ(Imm(8), ms)
	ADDQ(Imm(packetSize), pkt)
	DECQ(left)
	JNZ(LabelRef("next"))
	Store(bytes, ReturnIndex(0))
	Store(usual, ReturnIndex(1))
	RET()

	Label("none")
	CMPQ(end, Imm(head))
	JLT(LabelRef("other"))
	MOVQ(U32(0), at(pkt, pPresent))
	MOVL(U32(usualNone<<16), at(pkt, pENOLen))
	MOVL(U32(head), header.As32())
	JMP(LabelRef("write"))

	Label("other")
	Comment("No packet has port 0x10000 and more, so that none follows this one.")
	MOVB(U8(unparsed), at(pkt, pClass))
	MOVB(U8(0), at(pkt, pBehind))
	MOVQ(I32(-1), ports)
	XORL(different.As32(), different.As32())
	JMP(LabelRef("done"))
}

// swapped moves four bytes, in the order of the network.
func swapped(from, to Mem, r reg.GPPhysical) {
	MOVL(from, r.As32())
	BSWAPL(r.As32())
	MOVL(r.As32(), to)
}

func translate() {
	TEXT("translateUsual", NOSPLIT, "func(m *byte, header, to, n int, t *byte)")
	Pragma("noescape")
	Doc("translateUsual is translatePlain in assembly.")
	Load(Param("m"), tm)
	Load(Param("header"), tHeader)
	Load(Param("to"), tStart)
	Load(Param("n"), tLen)
	Load(Param("t"), tFields)
	headers(0)
	RET()
}

// Registers of who translates a segment: where it lies, what it has in front of its payload, where that will lie and how long it is, and
// where its fields are.
var (
	tm, tHeader, tStart, tLen = reg.RAX, reg.RCX, reg.R9, reg.RDX

	tFields = reg.RDI
)

func translateRun() {
	TEXT("translateRun", NOSPLIT, "func(moved *byte, stride uintptr, count, header int, next *byte, nextStride uintptr, left int, notes, noteStride uintptr)")
	Pragma("noescape")
	Doc("translateRun is TranslateRun in assembly. Where left packets follow it finds them from next on, nextStride bytes apart. count is not 0.")
	moved, next, m, by := tFields, reg.R14, reg.R8, reg.R10
	left, count, notes := argument("left"), argument("count"), argument("notes")
	Load(Param("moved"), moved)
	Load(Param("next"), next)
	Label("nextOfRun")
	MOVQ(at(moved, vM), tm)
	MOVQ(tm, m)
	DECQ(left)
	JLT(LabelRef("none"))
	MOVQ(at(next, 0), m)
	Load(Param("nextStride"), by)
	ADDQ(by, next)
	Label("none")
	note := reg.R13
	Load(Param("stride"), by)
	MOVQ(notes, note)
	PREFETCHT0(Mem{Base: moved, Index: by, Scale: runAhead})
	PREFETCHT0(at(note, 0))
	PREFETCHT0(at(note, lines.Size))
	lines.Packet(m, reg.R11, reg.R12)

	Load(Param("header"), tHeader)
	MOVQ(at(moved, vOff), tStart)
	MOVQ(at(moved, vLen), tLen)
	headers(vTranslation)
	Load(Param("stride"), by)
	Load(Param("noteStride"), note)
	ADDQ(by, moved)
	ADDQ(note, notes)
	DECQ(count)
	JNZ(LabelRef("nextOfRun"))
	RET()
}

func prefetchRun() {
	TEXT("prefetchRun", NOSPLIT, "func(pkts *byte, count int, p, pStride, q, qStride uintptr)")
	Pragma("noescape")
	Doc("prefetchRun asks for the lines of packets, as mbuf.PrefetchPacket does, and for two lines from p on and from q on for each. count is not 0.")
	pkt, count, p, by, q, also, m := reg.RAX, reg.RCX, reg.RSI, reg.RDI, reg.R8, reg.R9, reg.RDX
	Load(Param("pkts"), pkt)
	Load(Param("count"), count)
	Load(Param("p"), p)
	Load(Param("pStride"), by)
	Load(Param("q"), q)
	Load(Param("qStride"), also)
	Label("nextPacket")
	MOVQ(at(pkt, pM), m)
	PREFETCHT0(at(p, 0))
	PREFETCHT0(at(p, lines.Size))
	PREFETCHT0(at(q, 0))
	PREFETCHT0(at(q, lines.Size))
	lines.Packet(m, reg.R10, reg.R11)
	ADDQ(Imm(packetSize), pkt)
	ADDQ(by, p)
	ADDQ(also, q)
	DECQ(count)
	JNZ(LabelRef("nextPacket"))
	RET()
}

// argument is the place of an argument.
func argument(name string) Mem {
	b, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	return b.Addr
}

// foldTo16 makes a sum of 32 bits one of 16: added to itself with its halves exchanged, it has that in its upper half, carries included.
func foldTo16(sum, t reg.GPPhysical) {
	MOVL(sum.As32(), t.As32())
	ROLL(Imm(16), t.As32())
	ADDL(t.As32(), sum.As32())
	SHRL(Imm(16), sum.As32())
}

// headers translates a segment, whose fields lie behind tFields. It spoils all registers but R14 and tFields.
func headers(fields int) {
	m, header, n, t, start := tm, tHeader, tLen, tFields, tStart
	buf, from := reg.RSI, reg.R8
	field := func(off int) Mem { return at(t, fields+off) }
	MOVQ(at(m, bufAddr), buf)
	MOVWLZX(at(m, dataOff), from.As32())
	ADDQ(buf, from)
	SUBQ(header, start)
	size := n
	ADDQ(header, size)

	Comment("Bounds.")
	MOVW(start.As16(), at(m, dataOff))
	MOVW(size.As16(), at(m, dataLen))
	MOVL(size.As32(), at(m, pktLen))
	to := start
	ADDQ(buf, to)

	Comment("The headers whole, before any of them is written, because both places overlap.")
	MOVUPS(at(from, 0), reg.X0)
	lengths, sums, ports, offset := reg.R10, reg.R11, reg.R12, reg.R13
	MOVQ(at(from, 16), lengths)
	MOVQ(at(from, 24), sums)
	MOVQ(at(from, 32), ports)
	MOVBLZX(at(from, l4+12), offset.As32())
	MOVUPS(reg.X0, at(to, 0))

	Comment("RFC 1624, eqn. 3, in the order in which bytes are loaded.")
	sum, u, is := reg.RBX, reg.RSI, reg.R8
	SUBQ(Imm(l3), size)
	MOVWLZX(size.As16(), is.As32())
	ROLW(Imm(8), is.As16())
	MOVWLZX(sums.As16(), sum.As32())
	MOVWLZX(lengths.As16(), u.As32())
	XORL(U32(0xffff), sum.As32())
	XORL(U32(0xffff), u.As32())
	ADDL(u.As32(), sum.As32())
	ADDL(is.As32(), sum.As32())
	foldTo16(sum, u)
	NOTL(sum.As32())
	MOVQ(lengths, at(to, 16))
	MOVW(is.As16(), at(to, 16))
	MOVQ(sums, at(to, 24))
	MOVW(sum.As16(), at(to, 24))
	MOVQ(ports, at(to, 32))

	Comment("The sum of the pseudo header.")
	SUBQ(Imm(20), size)
	ROLW(Imm(8), size.As16())
	MOVWLZX(size.As16(), size.As32())
	SHRQ(Imm(16), sums)
	MOVWLZX(ports.As16(), ports.As32())
	ADDQ(ports, size)
	MOVQ(sums, u)
	SHRQ(Imm(32), u)
	ADDQ(u, size)
	MOVL(sums.As32(), ports.As32())
	LEAQ(Mem{Base: ports, Index: size, Scale: 1, Disp: tcp << 8}, sum)
	MOVQ(sum, u)
	SHRQ(Imm(32), u)
	ADDL(u.As32(), sum.As32())
	ADCL(Imm(0), sum.As32())
	foldTo16(sum, u)

	Comment("The header of TCP. Its fields are loaded as they were stored, just now: a load of two would have to wait for both.")
	swapped(field(tSeq), at(to, l4+4), u)
	swapped(field(tAck), at(to, l4+8), u)
	MOVB(offset.As8(), at(to, l4+12))
	MOVBLZX(field(tFlags), u.As32())
	MOVB(u.As8(), at(to, l4+13))
	MOVWLZX(field(tWin), u.As32())
	ROLW(Imm(8), u.As16())
	MOVW(u.As16(), at(to, l4+14))
	MOVL(sum.As32(), at(to, l4+16))
	CMPQ(header, Imm(headTS))
	JNE(LabelRef("short"))
	MOVL(U32(options), at(to, head))
	swapped(field(tTSVal), at(to, head+4), u)
	swapped(field(tTSEcr), at(to, head+8), u)
	Label("short")

	Comment("What the port is to do.")
	MOVQ(U64(^uint64(1<<3|1<<4|1<<7|1<<8|1<<52|1<<53|1<<54|1<<55|1<<56)), u)
	ANDQ(at(m, olFlags), u)
	MOVQ(U64(uint64(1<<52|1<<55)), sum)
	ORQ(sum, u)
	MOVQ(u, at(m, olFlags))
	SUBQ(Imm(l4), header)
	SHLQ(Imm(16), header)
	ORQ(U32(l3|20<<7), header)
	MOVQ(header, at(m, txOffload))
}
