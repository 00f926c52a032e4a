package cryptobatch

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

//go:generate sh -c "cd _gen && go run ./chachaavx2 -out ../chacha_avx2_amd64.s -stubs ../chacha_avx2_stubs_amd64.go -pkg cryptobatch"

// ChaCha20-Poly1305 for CPUs with AVX2 and BMI2, for any engine: eight blocks of
// ChaCha20 at once, of one operation or of several, and Poly1305 of two
// operations side by side.

// avx2Piece is how many operations are worked at once.
const avx2Piece = 32

// avx2Run is what eight blocks of one operation are in bytes.
const avx2Run = 512

// avx2Secrets is the part of a batcher's scratch memory that holds what comes
// from keys; it is zero between two calls.
type avx2Secrets struct {
	keys   [avx2Piece][32]byte // one-time keys of Poly1305
	poly   [avx2Piece]avx2Poly
	states [1216]byte // scratch of the assembly
}

func newChaChaAvx2() chachaFamily { return new(avx2Secrets) }

func (s *avx2Secrets) seal(ops []Op, list []uint32) {
	w := avx2Work{secret: s}
	for len(list) > 0 {
		n := min(len(list), avx2Piece)
		w.seal(ops, list[:n])
		list = list[n:]
	}
	*s = avx2Secrets{}
}

func (s *avx2Secrets) open(ops []Op, list []uint32) (failed int) {
	w := avx2Work{secret: s}
	for len(list) > 0 {
		n := min(len(list), avx2Piece)
		failed += w.open(ops, list[:n])
		list = list[n:]
	}
	*s = avx2Secrets{}
	return failed
}

// avx2Lane is one block of ChaCha20, or a run of them: dst[:n] = src[:n] ^ key
// stream. The assembly knows the layout.
type avx2Lane struct {
	key      unsafe.Pointer // 32 bytes
	src, dst unsafe.Pointer
	n        int // at most 64, for a run a multiple of avx2Run
	counter  uint32
	nonce    [NonceLen]byte
}

// avx2Poly is one message for Poly1305: its two parts, how much of them is left to
// absorb, and the state. The assembly knows the layout.
type avx2Poly struct {
	aad               unsafe.Pointer
	aadLeft, aadLen   int
	text              unsafe.Pointer
	textLeft, textLen int // left: the text may be absorbed in part beside ChaCha20
	h                 [3]uint64
	r0, r1, s1        uint64 // only once begun
	begun             bool
}

// The assembly takes these for granted.
var (
	_ [48]struct{}  = [unsafe.Sizeof(avx2Lane{})]struct{}{}
	_ [32]struct{}  = [unsafe.Offsetof(avx2Lane{}.counter)]struct{}{}
	_ [104]struct{} = [unsafe.Sizeof(avx2Poly{})]struct{}{}
	_ [48]struct{}  = [unsafe.Offsetof(avx2Poly{}.h)]struct{}{}
)

func (p *avx2Poly) set(aad, text []byte) {
	p.aad, p.aadLeft, p.aadLen = unsafe.Pointer(unsafe.SliceData(aad)), len(aad), len(aad)
	p.text, p.textLeft, p.textLen = unsafe.Pointer(unsafe.SliceData(text)), len(text), len(text)
	p.h, p.begun = [3]uint64{}, false
}

// begin prepares a message to be absorbed in part: it clamps r and absorbs the
// associated data.
func (p *avx2Poly) begin(key *[32]byte) {
	p.r0 = binary.LittleEndian.Uint64(key[0:]) & 0x0ffffffc0fffffff
	p.r1 = binary.LittleEndian.Uint64(key[8:]) & 0x0ffffffc0ffffffc
	p.s1 = p.r1 + p.r1>>2
	aad := unsafe.Slice((*byte)(p.aad), p.aadLeft)
	for len(aad) > 0 {
		var block [16]byte
		aad = aad[copy(block[:], aad):]
		p.absorb(binary.LittleEndian.Uint64(block[0:]), binary.LittleEndian.Uint64(block[8:]))
	}
	p.aadLeft, p.begun = 0, true
}

// absorb is the assembly's step in Go: h = (h + block + 2^128) * r.
func (p *avx2Poly) absorb(lo, hi uint64) {
	h0, c := bits.Add64(p.h[0], lo, 0)
	h1, c := bits.Add64(p.h[1], hi, c)
	h2 := p.h[2] + c + 1

	d0hi, d0lo := bits.Mul64(h0, p.r0)
	d1hi, d1lo := bits.Mul64(h0, p.r1)
	d0hi, d0lo = addProduct(d0hi, d0lo, h1, p.s1)
	d1hi, d1lo = addProduct(d1hi, d1lo, h1, p.r0)
	d1lo, c = bits.Add64(d1lo, h2*p.s1, 0)
	d1hi += c
	d1lo, c = bits.Add64(d1lo, d0hi, 0)
	d2 := h2*p.r0 + d1hi + c

	p.h[0], c = bits.Add64(d0lo, d2>>2+d2&^3, 0)
	p.h[1], c = bits.Add64(d1lo, 0, c)
	p.h[2] = d2&3 + c
}

func addProduct(hi, lo, a, b uint64) (sumHi, sumLo uint64) {
	phi, plo := bits.Mul64(a, b)
	sumLo, c := bits.Add64(lo, plo, 0)
	return hi + phi + c, sumLo
}

// avx2NoText is what lanes read that have no text.
var avx2NoText [64]byte

// avx2Work is what one call needs for at most avx2Piece operations. It lives on
// the stack, so that nothing refers to the operations after the call.
type avx2Work struct {
	lanes  [8]avx2Lane
	used   int
	run    avx2Lane
	secret *avx2Secrets
	tags   [2][TagLen]byte
	// The messages from fed to ready may be absorbed beside ChaCha20: those to
	// whole in any part, the others as far as runs have written them. What is in
	// lanes belongs to messages before added.
	fed, whole, added, ready int
}

// seal encrypts one operation after the other and, beside each, authenticates
// what those before it have encrypted in whole runs, or beside the last, after
// which none comes, what it has encrypted itself; then what is left of all.
func (w *avx2Work) seal(ops []Op, list []uint32) {
	w.fed, w.whole, w.added, w.ready = 0, 0, 0, 0
	w.oneTimeKeys(ops, list)
	w.flushKeys(ops, list)
	last := len(list) - 1
	for at, i := range list {
		op := &ops[i]
		if at == last {
			w.message(op.AAD, op.Dst[:len(op.Src)])
		}
		w.text(op, len(op.Src))
		if at != last {
			w.message(op.AAD, op.Dst[:len(op.Src)])
		}
		w.added++
	}
	w.flush()
	for at := 0; at < len(list); at += 2 {
		pair := list[at:min(at+2, len(list))]
		w.authenticate(at, len(pair))
		for lane, i := range pair {
			op := &ops[i]
			*(*[TagLen]byte)(op.Dst[len(op.Src):]) = w.tags[lane]
			op.Status = StatusOK
		}
	}
}

// flushKeys works the one-time keys at once if there is a message to be absorbed
// beside ChaCha20, which needs them early.
func (w *avx2Work) flushKeys(ops []Op, list []uint32) {
	for _, i := range list {
		if len(ops[i].Src) >= avx2Run {
			w.flush()
			return
		}
	}
}

// message makes the next message ready to be absorbed.
func (w *avx2Work) message(aad, text []byte) {
	w.secret.poly[w.ready].set(aad, text)
	w.ready++
}

// avx2Lanes is from how much text on a message is absorbed beside lanes: below
// that, to begin it costs more than that saves.
const avx2Lanes = 9 * 16

// feedLanes returns the message to absorb beside lanes, nil if there is none.
func (w *avx2Work) feedLanes() *avx2Poly {
	for ; w.fed < w.whole; w.fed++ {
		if w.secret.poly[w.fed].textLeft >= avx2Lanes {
			return w.begun(w.fed)
		}
	}
	return nil
}

// feedRun returns the message to absorb beside a run, and how much of it may be,
// nil if there is none. Of the operation that is being encrypted written bytes
// are.
func (w *avx2Work) feedRun(written int) (p *avx2Poly, most int) {
	for i := w.fed; i < w.ready; i++ {
		p := &w.secret.poly[i]
		most := p.textLeft
		if i == w.added {
			most -= p.textLen - written
		}
		if most >= avx2Run {
			return w.begun(i), most &^ (avx2Run - 1)
		}
	}
	return nil, 0
}

func (w *avx2Work) begun(i int) *avx2Poly {
	p := &w.secret.poly[i]
	if !p.begun {
		p.begin(&w.secret.keys[i])
	}
	return p
}

// open decrypts only what it has verified: two operations, and beside them it
// authenticates the next two.
func (w *avx2Work) open(ops []Op, list []uint32) (failed int) {
	w.fed, w.whole, w.added, w.ready = 0, 0, 0, 0
	w.oneTimeKeys(ops, list)
	w.flush()
	for at := 0; at < len(list); at += 2 {
		pair := list[at:min(at+2, len(list))]
		for _, i := range pair {
			op := &ops[i]
			w.message(op.AAD, op.Src[:len(op.Src)-TagLen])
		}
		w.whole, w.added = w.ready, w.ready
		if at > 0 {
			w.decrypt(ops, list[at-2:at])
		}
		failed += w.verify(ops, pair, at)
		w.fed = w.ready
	}
	w.decrypt(ops, list[(len(list)-1)&^1:])
	w.flush()
	return failed
}

// decrypt works the operations that are authentic.
func (w *avx2Work) decrypt(ops []Op, pair []uint32) {
	for _, i := range pair {
		if op := &ops[i]; op.Status == StatusOK {
			w.text(op, len(op.Src)-TagLen)
		}
	}
}

// verify sets the statuses of up to two operations, whose messages are from at on,
// and clears the Dst of those that are not authentic.
func (w *avx2Work) verify(ops []Op, pair []uint32, at int) (failed int) {
	w.authenticate(at, len(pair))
	for lane, i := range pair {
		op := &ops[i]
		n := len(op.Src) - TagLen
		op.Status = StatusOK
		if avx2TagsDiffer((*[TagLen]byte)(op.Src[n:]), &w.tags[lane]) {
			clear(op.Dst[:n])
			op.Status = StatusAuthFailed
			failed++
		}
	}
	return failed
}

// avx2TagsDiffer compares in constant time.
func avx2TagsDiffer(a, b *[TagLen]byte) bool {
	pa, pb := (*[2]uint64)(unsafe.Pointer(a)), (*[2]uint64)(unsafe.Pointer(b))
	return (pa[0]^pb[0])|(pa[1]^pb[1]) != 0
}

// oneTimeKeys asks for block 0 of each operation (RFC 8439, section 2.6).
func (w *avx2Work) oneTimeKeys(ops []Op, list []uint32) {
	for at, i := range list {
		w.add(&ops[i], 0, unsafe.Pointer(&avx2NoText), unsafe.Pointer(&w.secret.keys[at]), 32)
	}
}

// authenticate computes the tags of the n messages from at on, which is even.
func (w *avx2Work) authenticate(at, n int) {
	if n == 1 {
		w.secret.poly[at+1] = avx2Poly{}
	}
	polyPairAVX2((*byte)(unsafe.Pointer(&w.secret.poly[at])), &w.secret.keys[at][0], &w.tags[0][0])
}

// text takes the first n bytes of an operation's text: in runs of eight blocks,
// and by one what is left.
func (w *avx2Work) text(op *Op, n int) {
	src, dst := unsafe.Pointer(unsafe.SliceData(op.Src)), unsafe.Pointer(unsafe.SliceData(op.Dst))
	at, counter := 0, uint32(1)
	for n-at >= avx2Run {
		some := (n - at) &^ (avx2Run - 1)
		feed, most := w.feedRun(at)
		if feed != nil {
			some = min(some, most)
		} else if w.added < w.ready {
			// The operation can feed itself as soon as some of it is there.
			some = min(some, max(avx2Run, n/8&^(avx2Run-1)))
		}
		w.run = avx2Lane{unsafe.Pointer(&op.Key.block[chachaKeyAt]), unsafe.Add(src, at), unsafe.Add(dst, at), some, counter, op.Nonce}
		chachaRun8AVX2((*byte)(unsafe.Pointer(&w.run)), (*byte)(unsafe.Pointer(feed)), &w.secret.states[0])
		at += some
		counter += uint32(some / 64)
	}
	for ; at < n; at, counter = at+64, counter+1 {
		w.add(op, counter, unsafe.Add(src, at), unsafe.Add(dst, at), min(n-at, 64))
	}
}

// add takes a block, of any operation, and works all once they fill the lanes.
func (w *avx2Work) add(op *Op, counter uint32, src, dst unsafe.Pointer, n int) {
	l := &w.lanes[w.used]
	l.key = unsafe.Pointer(&op.Key.block[chachaKeyAt])
	l.src, l.dst, l.n = src, dst, n
	l.counter, l.nonce = counter, op.Nonce
	w.used++
	if w.used == len(w.lanes) {
		w.work()
	}
}

// flush works what does not fill all lanes.
func (w *avx2Work) flush() {
	if w.used == 0 {
		return
	}
	none := unsafe.Pointer(&avx2NoText)
	for i := w.used; i < len(w.lanes); i++ {
		w.lanes[i] = avx2Lane{key: none, src: none, dst: none}
	}
	w.work()
}

func (w *avx2Work) work() {
	feed := w.feedLanes()
	chachaLanes8AVX2((*byte)(unsafe.Pointer(&w.lanes)), (*byte)(unsafe.Pointer(feed)), &w.secret.states[0])
	w.used = 0
	w.whole = w.added
}
