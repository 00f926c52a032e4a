package cryptobatch

import "unsafe"

//go:generate sh -c "cd _gen && go run ./chacha -out ../chacha_avx512_amd64.s -stubs ../chacha_avx512_stubs_amd64.go -pkg cryptobatch"

// chachaOps is how many operations are worked at once: what fills all lanes
// with the blocks that the one-time keys come from.
const chachaOps = 32

// chachaSecrets is the part of a batcher's scratch memory that holds what comes
// from keys. The assembly leaves it as it is; each call of a batcher zeroes it.
type chachaSecrets struct {
	keys   [chachaOps][32]byte // one-time keys of Poly1305
	states [39 * 64]byte       // scratch of the assembly: block states, powers of keys
}

// chachaWork is what one call needs for at most chachaOps operations. It lives
// on the stack, so that nothing refers to the operations after the call.
type chachaWork struct {
	lanes  [32]chachaLane // blocks collected for the next call
	used   int
	secret *chachaSecrets
}

func newChaCha512() chachaFamily { return new(chachaSecrets) }

func (s *chachaSecrets) seal(ops []Op, list []uint32) {
	w := chachaWork{secret: s}
	for len(list) > 0 {
		n := min(len(list), chachaOps)
		w.seal(ops, list[:n])
		list = list[n:]
	}
	*s = chachaSecrets{}
}

func (s *chachaSecrets) open(ops []Op, list []uint32) (failed int) {
	w := chachaWork{secret: s}
	for len(list) > 0 {
		n := min(len(list), chachaOps)
		failed += w.open(ops, list[:n])
		list = list[n:]
	}
	*s = chachaSecrets{}
	return failed
}

// How the assembly splits a text, in bytes: chachaTexts works fours of blocks, the last
// of which may be smaller, and leaves single blocks to lanes.
const (
	chachaFour  = 256  // four blocks
	chachaTail  = 64   // behind fours, up to this is left to lanes
	chachaShort = 128  // and a whole text up to this
	chachaRoom  = 192  // up to this the last four has room for another block
	chachaLong  = 1024 // from this on some is worked without gathering
)

// eightBytes is from how much text on the ciphertext is authenticated before more is
// encrypted: while it is in the cache of the core, at the price of lanes left empty.
const eightBytes = 4 << 10

func (w *chachaWork) seal(ops []Op, list []uint32) {
	if fitsLanes(ops, list) {
		w.sealFew(ops, list)
		return
	}
	inTexts := keysFitTexts(ops, list)
	if !inTexts {
		w.oneTimeKeys(ops, list)
	}
	worked, tagged, bytes := 0, 0, 0
	for at := 0; at < len(list); at += 8 {
		next := min(at+8, len(list))
		for _, i := range list[at:next] {
			op := &ops[i]
			bytes += len(op.Src)
			w.tail(op, len(op.Src))
		}
		if bytes < eightBytes && next < len(list) {
			continue
		}
		var keys *byte
		if inTexts {
			keys = &w.secret.keys[worked][0]
		}
		w.texts(ops, list[worked:next], 0, keys)
		worked, bytes = next, 0
		// Tails wait until they fill a call.
		if w.used > 0 && next < len(list) {
			continue
		}
		w.flush()
		for ; tagged < next; tagged += 8 {
			w.tagEight(ops, list, tagged)
		}
	}
}

// sealFew works all blocks, the first ones included, in one call: one or a few short
// operations then wait once for the twenty rounds and not twice.
func (w *chachaWork) sealFew(ops []Op, list []uint32) {
	for at, i := range list {
		op := &ops[i]
		w.add(op, 0, unsafe.Pointer(&zeroBlock), unsafe.Pointer(&w.secret.keys[at]), 32)
		w.blocks(op, 0, len(op.Src))
	}
	w.flush()
	for at := 0; at < len(list); at += 8 {
		w.tagEight(ops, list, at)
	}
}

// tagEight authenticates what eight operations from at on encrypted.
func (w *chachaWork) tagEight(ops []Op, list []uint32, at int) {
	eight := list[at:min(at+8, len(list))]
	chachaSealTags((*byte)(unsafe.Pointer(&ops[0])), &eight[0], len(eight), &w.secret.keys[at][0], &w.secret.states[0])
}

// open decrypts only what it has verified, while its ciphertext is in the cache.
func (w *chachaWork) open(ops []Op, list []uint32) (failed int) {
	w.oneTimeKeys(ops, list)
	for at := 0; at < len(list); at += 8 {
		eight := list[at:min(at+8, len(list))]
		forged := w.verifyEight(ops, eight, at)
		failed += forged
		var authentic [8]uint32
		if forged > 0 {
			n := 0
			for _, i := range eight {
				if ops[i].Status == StatusOK {
					authentic[n] = i
					n++
				}
			}
			eight = authentic[:n]
		}
		w.texts(ops, eight, TagLen, nil)
		for _, i := range eight {
			w.tail(&ops[i], len(ops[i].Src)-TagLen)
		}
	}
	w.flush()
	return failed
}

// verifyEight sets the statuses of up to eight operations, whose keys are from
// at on, and clears the Dst of those that are not authentic.
func (w *chachaWork) verifyEight(ops []Op, eight []uint32, at int) (failed int) {
	failed = chachaOpenTags((*byte)(unsafe.Pointer(&ops[0])), &eight[0], len(eight), &w.secret.keys[at][0], &w.secret.states[0])
	if failed > 0 {
		eraseFailed(ops, eight)
	}
	return failed
}

// oneTimeKeys makes the keys of Poly1305, one for each operation.
func (w *chachaWork) oneTimeKeys(ops []Op, list []uint32) {
	// The assembly works 16 or 32. Those that are missing get the last one's key.
	var order [chachaOps]uint32
	n := copy(order[:], list)
	for i := n; i < len(order); i++ {
		order[i] = list[n-1]
	}
	// No variable for the routine: with an indirect call order would be allocated.
	p, keys, scratch := (*byte)(unsafe.Pointer(&ops[0])), &w.secret.keys[0][0], &w.secret.states[0]
	if n <= 16 {
		chachaKeys16(p, &order[0], keys, scratch)
	} else {
		chachaKeys32(p, &order[0], keys, scratch)
	}
}

// zeroBlock is what lanes read that have no text.
var zeroBlock [64]byte

// chachaLane is one block of ChaCha20: dst[:n] = src[:n] ^ key stream. The
// assembly knows the layout.
type chachaLane struct {
	key      unsafe.Pointer // 32 bytes
	src, dst unsafe.Pointer
	n        int // at most 64
	counter  uint32
	nonce    [NonceLen]byte
}

// fitsLanes reports whether all blocks of the list, the first ones included, fit the
// lanes of one call.
func fitsLanes(ops []Op, list []uint32) bool {
	blocks := 0
	for _, i := range list {
		blocks += 1 + (len(ops[i].Src)+63)/64
		if blocks > 32 {
			return false
		}
	}
	return true
}

// keysFitTexts reports whether the last four blocks of every text have room for the
// block that the one-time key comes from.
func keysFitTexts(ops []Op, list []uint32) bool {
	for _, i := range list {
		if n := len(ops[i].Src); n <= chachaShort || n%chachaFour <= chachaTail || n%chachaFour > chachaRoom {
			return false
		}
	}
	return true
}

// texts works the texts of a list, which may be empty, but for what tail does; behind
// is how many bytes of Src are no text. If keys is not nil and keysFitTexts holds, the
// one-time keys go there.
func (w *chachaWork) texts(ops []Op, list []uint32, behind int, keys *byte) {
	if len(list) == 0 {
		return
	}
	long := false
	for _, i := range list {
		long = long || len(ops[i].Src)-behind >= chachaLong
	}
	chachaTexts((*byte)(unsafe.Pointer(&ops[0])), &list[0], len(list), behind, long, keys, &w.secret.states[0])
}

// tail takes what texts leaves out of n bytes of an operation's text: a single block
// behind whole fours, and all of up to two blocks.
func (w *chachaWork) tail(op *Op, n int) {
	switch rest := n % chachaFour; {
	case n <= chachaShort:
		w.blocks(op, 0, n)
	case rest > 0 && rest <= chachaTail:
		w.blocks(op, n-rest, n)
	}
}

// blocks takes an operation's text from at to n, block by block.
func (w *chachaWork) blocks(op *Op, at, n int) {
	src, dst := unsafe.Pointer(unsafe.SliceData(op.Src)), unsafe.Pointer(unsafe.SliceData(op.Dst))
	for ; at < n; at += 64 {
		w.add(op, uint32(1+at/64), unsafe.Add(src, at), unsafe.Add(dst, at), min(n-at, 64))
	}
}

// add takes a block, of any operation, and works all once they fill the lanes.
func (w *chachaWork) add(op *Op, counter uint32, src, dst unsafe.Pointer, n int) {
	l := &w.lanes[w.used]
	l.key = unsafe.Pointer(&op.Key.block[chachaKeyAt])
	l.src, l.dst, l.n = src, dst, n
	l.counter, l.nonce = counter, op.Nonce
	w.used++
	if w.used == len(w.lanes) {
		w.run()
	}
}

// flush works what does not fill all lanes.
func (w *chachaWork) flush() {
	if w.used > 0 {
		idle(w.lanes[w.used:])
		w.run()
	}
}

// idle makes lanes that read and write nothing.
func idle(lanes []chachaLane) {
	zero := unsafe.Pointer(&zeroBlock)
	for i := range lanes {
		lanes[i] = chachaLane{key: zero, src: zero, dst: zero}
	}
}

func (w *chachaWork) run() {
	lanes := (*byte)(unsafe.Pointer(&w.lanes))
	if w.used <= 16 {
		chachaLanes16(lanes, &w.secret.states[0])
	} else {
		chachaLanes32(lanes, &w.secret.states[0])
	}
	w.used = 0
}

// The assembly takes these for granted.
var (
	_ [unsafe.Sizeof(chachaLane{}) - 48]struct{}
	_ [48 - unsafe.Sizeof(chachaLane{})]struct{}
)
