package cryptobatch

import "unsafe"

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
	_ [464]struct{} = [unsafe.Offsetof(Key{}.block) + chachaKeyAt]struct{}{}
	_ [504]struct{} = [unsafe.Offsetof(Key{}.alg)]struct{}{}
	_ [2]struct{}   = [AES256GCM]struct{}{}
	_ [1]struct{}   = [StatusOK]struct{}{}
	_ [2]struct{}   = [StatusAuthFailed]struct{}{}
)
