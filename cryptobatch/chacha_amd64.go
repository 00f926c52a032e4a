package cryptobatch

// expandChaCha makes k, which is wiped, a ChaCha20-Poly1305 key from 32 bytes.
func (v *vaes512) expandChaCha(k *Key, raw []byte) error {
	return v.generic.Expand(k, ChaCha20Poly1305, raw)
}

// sealChaCha seals the ChaCha20-Poly1305 operations of the list, which passed
// all checks, and writes their statuses.
func (v *vaes512) sealChaCha(ops []Op, list []uint32) (failed int) {
	b := genericBatcher{v.generic}
	for _, i := range list {
		failed += b.Seal(ops[i : i+1])
	}
	return failed
}

// openChaCha opens the ChaCha20-Poly1305 operations of the list, which passed
// all checks, and writes their statuses.
func (v *vaes512) openChaCha(ops []Op, list []uint32) (failed int) {
	b := genericBatcher{v.generic}
	for _, i := range list {
		failed += b.Open(ops[i : i+1])
	}
	return failed
}
