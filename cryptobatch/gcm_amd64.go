package cryptobatch

import "unsafe"

//go:generate sh -c "cd _gen/gcm && go run . -out ../../gcm_vaes512_amd64.s -stubs ../../gcm_vaes512_amd64.go -pkg cryptobatch"

// The places of fields that the assembly assumes; compiled only if they hold.
var (
	_ [0]struct{}   = [unsafe.Offsetof(Op{}.Key)]struct{}{}
	_ [8]struct{}   = [unsafe.Offsetof(Op{}.Src)]struct{}{}
	_ [32]struct{}  = [unsafe.Offsetof(Op{}.Dst)]struct{}{}
	_ [56]struct{}  = [unsafe.Offsetof(Op{}.AAD)]struct{}{}
	_ [88]struct{}  = [unsafe.Offsetof(Op{}.Nonce)]struct{}{}
	_ [100]struct{} = [unsafe.Offsetof(Op{}.Status)]struct{}{}
	_ [104]struct{} = [unsafe.Sizeof(Op{})]struct{}{}
	_ [0]struct{}   = [unsafe.Offsetof(Key{}.block)]struct{}{}
	_ [504]struct{} = [unsafe.Offsetof(Key{}.alg)]struct{}{}
	_ [2]struct{}   = [AES256GCM]struct{}{}
	_ [1]struct{}   = [StatusOK]struct{}{}
	_ [2]struct{}   = [StatusAuthFailed]struct{}{}
)

// expandGCM makes k, which is wiped, an AES-GCM key. Its block holds 16 powers of
// the hash key, the highest first, and then the round keys: what a short operation
// needs is in one piece, up to the header. An operation of 64 bytes reads six of the
// Key's eight cache lines.
func (v *vaes512) expandGCM(k *Key, alg Algorithm, raw []byte) {
	if alg == AES128GCM {
		expandAES128Vaes512(unsafe.SliceData(raw), &k.block[0])
	} else {
		expandAES256Vaes512(unsafe.SliceData(raw), &k.block[0])
	}
	k.alg, k.owner = alg, v.owner
}

// sealGCM seals the AES-GCM operations of the list, which passed all checks and
// is not empty.
func (v *vaes512) sealGCM(ops []Op, list []uint32) {
	sealBurstVaes512((*byte)(unsafe.Pointer(&ops[0])), &list[0], len(list))
}

// openGCM opens the AES-GCM operations of the list, which passed all checks and
// is not empty.
func (v *vaes512) openGCM(ops []Op, list []uint32) (failed int) {
	failed = openBurstVaes512((*byte)(unsafe.Pointer(&ops[0])), &list[0], len(list))
	if failed != 0 {
		eraseFailed(ops, list)
	}
	return failed
}

// eraseFailed zeroes the plaintext of the operations that are not authentic.
func eraseFailed(ops []Op, list []uint32) {
	for _, i := range list {
		if op := &ops[i]; op.Status == StatusAuthFailed {
			clear(op.Dst[:len(op.Src)-TagLen])
		}
	}
}
