package packet

import (
	"unsafe"

	"linecrypt/dataplane/mbuf"
)

//go:generate sh -c "cd _gen && go run . -out ../usual_amd64.s -stubs ../usual_stubs_amd64.go -pkg packet"

func parseBurst(ms []*mbuf.Mbuf, pkts []Packet) (bytes uint64, usual int) {
	_ = pkts[len(ms)-1]
	return parseUsual((**byte)(unsafe.Pointer(unsafe.SliceData(ms))), (*byte)(unsafe.Pointer(unsafe.SliceData(pkts))), len(ms))
}

func translatePlain(m *mbuf.Mbuf, header, at, n int, t *Translation) {
	translateUsual((*byte)(unsafe.Pointer(m)), header, at, n, (*byte)(unsafe.Pointer(t)))
}

func translateAll(pkts []Packet, n, header int, first *Moved, stride, notes, noteStride uintptr) {
	translateRun((*byte)(unsafe.Pointer(unsafe.SliceData(pkts))), len(pkts), n, header, (*byte)(unsafe.Pointer(first)), stride, notes, noteStride)
}
