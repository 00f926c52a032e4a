package cryptobatch

import "unsafe"

// checkSeal and checkOpen hold every rule on buffers, for all engines: what
// passes them may be worked without another bounds check. They read the slice
// headers and no byte behind them. StatusOK means that the operation may be
// worked; the key is the engine's to check.

// inPlace reports, at a glance, whether an operation's result goes where its text is, and its associated data ends in front of both, as
// where a record is worked within its packet. It says no of some where nothing is wrong.
func inPlace(op *Op) bool {
	src, aad := uintptr(unsafe.Pointer(unsafe.SliceData(op.Src))), uintptr(unsafe.Pointer(unsafe.SliceData(op.AAD)))
	return unsafe.SliceData(op.Dst) == unsafe.SliceData(op.Src) && aad < src && uintptr(len(op.AAD)) <= min(src-aad, MaxAAD)
}

func checkSeal(op *Op) Status {
	n := len(op.Src)
	if n <= MaxText && len(op.Dst) >= n+TagLen && inPlace(op) {
		return StatusOK
	}
	if n > MaxText || len(op.Dst) < n+TagLen {
		return StatusBadLength
	}
	return checkPlacement(op, op.Dst[:n+TagLen])
}

func checkOpen(op *Op) Status {
	n := len(op.Src) - TagLen
	if n >= 0 && n <= MaxText && len(op.Dst) >= n && inPlace(op) {
		return StatusOK
	}
	if n < 0 || n > MaxText || len(op.Dst) < n {
		return StatusBadLength
	}
	return checkPlacement(op, op.Dst[:n])
}

// checkPlacement judges the associated data and what out, the part of Dst that
// will be written, shares with it and with Src.
func checkPlacement(op *Op, out []byte) Status {
	if len(op.AAD) > MaxAAD {
		return StatusBadAAD
	}
	if overlap(out, op.AAD) {
		return StatusBadOverlap
	}
	if unsafe.SliceData(out) != unsafe.SliceData(op.Src) && overlap(out, op.Src) {
		return StatusBadOverlap
	}
	return StatusOK
}

// overlap reports whether two slices share a byte.
func overlap(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	a0, b0 := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	return a0 <= b0+uintptr(len(b)-1) && b0 <= a0+uintptr(len(a)-1)
}
