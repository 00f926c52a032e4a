package cryptobatch

func (v *vaes512) expandGCM(k *Key, alg Algorithm, raw []byte) error {
	return v.generic.Expand(k, alg, raw)
}

// sealGCM seals the AES-GCM operations of the list, which passed all checks.
func (v *vaes512) sealGCM(ops []Op, list []uint32) (failed int) {
	b := genericBatcher{v.generic}
	for _, i := range list {
		failed += b.Seal(ops[i : i+1])
	}
	return failed
}

// openGCM opens the AES-GCM operations of the list, which passed all checks.
func (v *vaes512) openGCM(ops []Op, list []uint32) (failed int) {
	b := genericBatcher{v.generic}
	for _, i := range list {
		failed += b.Open(ops[i : i+1])
	}
	return failed
}
