package cryptobatch

import "unsafe"

//go:generate sh -c "cd _gen && go run ./chachaavx2 -out ../chacha_avx2_amd64.s -stubs ../chacha_avx2_stubs_amd64.go -pkg cryptobatch"

// ChaCha20-Poly1305 for CPUs with AVX2 and BMI2, for any engine: eight blocks of
// ChaCha20 at once, of one operation or of several, and Poly1305 of two
// operations side by side.

// avx2KeyAt is where a Key's block holds the 32 bytes of a ChaCha20-Poly1305 key:
// on the line of its header.
const avx2KeyAt = keyBlockLen - 32

// avx2Piece is how many operations are worked at once.
const avx2Piece = 32

// avx2Run is what eight blocks of one operation are in bytes.
const avx2Run = 512

// expandChaChaAVX2 makes k, which is wiped, a ChaCha20-Poly1305 key of that owner
// from 32 bytes.
func expandChaChaAVX2(k *Key, owner uint64, raw []byte) {
	copy(k.block[avx2KeyAt:], raw)
	k.alg, k.owner = ChaCha20Poly1305, owner
}

// avx2Secrets is the part of a batcher's scratch memory that holds what comes
// from keys; it is zero between two calls.
type avx2Secrets struct {
	keys   [avx2Piece][32]byte // one-time keys of Poly1305
	states [1216]byte          // scratch of the assembly
}

// seal seals the ChaCha20-Poly1305 operations of the list, which passed all
// checks, and writes their statuses.
func (s *avx2Secrets) seal(ops []Op, list []uint32) {
	w := avx2Work{secret: s}
	for len(list) > 0 {
		n := min(len(list), avx2Piece)
		w.seal(ops, list[:n])
		list = list[n:]
	}
	*s = avx2Secrets{}
}

// open opens the ChaCha20-Poly1305 operations of the list, which passed all
// checks, and writes their statuses.
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

// avx2Poly is one message for Poly1305. The assembly knows the layout.
type avx2Poly struct {
	aad     unsafe.Pointer
	aadLen  int
	text    unsafe.Pointer
	textLen int
}

// The assembly takes these for granted.
var (
	_ [48]struct{} = [unsafe.Sizeof(avx2Lane{})]struct{}{}
	_ [32]struct{} = [unsafe.Offsetof(avx2Lane{}.counter)]struct{}{}
	_ [32]struct{} = [unsafe.Sizeof(avx2Poly{})]struct{}{}
)

func (p *avx2Poly) set(aad, text []byte) {
	p.aad, p.aadLen = unsafe.Pointer(unsafe.SliceData(aad)), len(aad)
	p.text, p.textLen = unsafe.Pointer(unsafe.SliceData(text)), len(text)
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
	poly   [2]avx2Poly
	tags   [2][TagLen]byte
}

// avx2Cached is from how much text on the ciphertext is authenticated before more
// is encrypted, or decrypted before more is authenticated: while it is in the
// cache, at the price of lanes left empty.
const avx2Cached = 16 << 10

func (w *avx2Work) seal(ops []Op, list []uint32) {
	w.oneTimeKeys(ops, list)
	done, bytes := 0, 0
	for at, i := range list {
		op := &ops[i]
		w.text(op, len(op.Src))
		bytes += len(op.Src)
		if at+1 < len(list) && (bytes < avx2Cached || at&1 == 0) {
			continue
		}
		w.flush()
		for ; done <= at; done += 2 {
			w.tagPair(ops, list, done)
		}
		bytes = 0
	}
}

// tagPair authenticates what two operations from at on encrypted.
func (w *avx2Work) tagPair(ops []Op, list []uint32, at int) {
	pair := list[at:min(at+2, len(list))]
	for lane, i := range pair {
		op := &ops[i]
		w.poly[lane].set(op.AAD, op.Dst[:len(op.Src)])
	}
	w.authenticate(at, len(pair))
	for lane, i := range pair {
		op := &ops[i]
		*(*[TagLen]byte)(op.Dst[len(op.Src):]) = w.tags[lane]
		op.Status = StatusOK
	}
}

// open decrypts only what it has verified.
func (w *avx2Work) open(ops []Op, list []uint32) (failed int) {
	w.oneTimeKeys(ops, list)
	w.flush()
	done, bytes := 0, 0
	for at := 0; at < len(list); at += 2 {
		pair := list[at:min(at+2, len(list))]
		n, bad := w.verifyPair(ops, pair, at)
		failed += bad
		bytes += n
		if at+2 < len(list) && bytes < avx2Cached {
			continue
		}
		for ; done < at+len(pair); done++ {
			if op := &ops[list[done]]; op.Status == StatusOK {
				w.text(op, len(op.Src)-TagLen)
			}
		}
		bytes = 0
	}
	w.flush()
	return failed
}

// verifyPair sets the statuses of up to two operations, whose keys are from at
// on, clears the Dst of those that are not authentic, and counts the text.
func (w *avx2Work) verifyPair(ops []Op, pair []uint32, at int) (bytes, failed int) {
	for lane, i := range pair {
		op := &ops[i]
		w.poly[lane].set(op.AAD, op.Src[:len(op.Src)-TagLen])
	}
	w.authenticate(at, len(pair))
	for lane, i := range pair {
		op := &ops[i]
		n := len(op.Src) - TagLen
		bytes += n
		op.Status = StatusOK
		if avx2TagsDiffer((*[TagLen]byte)(op.Src[n:]), &w.tags[lane]) {
			clear(op.Dst[:n])
			op.Status = StatusAuthFailed
			failed++
		}
	}
	return bytes, failed
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

// authenticate computes the tags of the first n lanes under the keys from at on,
// which is even.
func (w *avx2Work) authenticate(at, n int) {
	if n == 1 {
		w.poly[1] = avx2Poly{}
	}
	polyPairAVX2((*byte)(unsafe.Pointer(&w.poly)), &w.secret.keys[at][0], &w.tags[0][0])
}

// text takes the first n bytes of an operation's text: in runs of eight blocks,
// and by one what is left.
func (w *avx2Work) text(op *Op, n int) {
	src, dst := unsafe.Pointer(unsafe.SliceData(op.Src)), unsafe.Pointer(unsafe.SliceData(op.Dst))
	at, counter := 0, uint32(1)
	if n >= avx2Run {
		at = n &^ (avx2Run - 1)
		w.run = avx2Lane{unsafe.Pointer(&op.Key.block[avx2KeyAt]), src, dst, at, counter, op.Nonce}
		chachaRun8AVX2((*byte)(unsafe.Pointer(&w.run)), &w.secret.states[0])
		counter += uint32(at / 64)
	}
	for ; at < n; at, counter = at+64, counter+1 {
		w.add(op, counter, unsafe.Add(src, at), unsafe.Add(dst, at), min(n-at, 64))
	}
}

// add takes a block, of any operation, and works all once they fill the lanes.
func (w *avx2Work) add(op *Op, counter uint32, src, dst unsafe.Pointer, n int) {
	l := &w.lanes[w.used]
	l.key = unsafe.Pointer(&op.Key.block[avx2KeyAt])
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
	chachaLanes8AVX2((*byte)(unsafe.Pointer(&w.lanes)), &w.secret.states[0])
	w.used = 0
}
