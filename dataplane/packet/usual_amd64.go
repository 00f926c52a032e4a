package packet

import (
	"unsafe"

	"linecrypt/dataplane/mbuf"
)

//go:generate sh -c "cd _gen/usual && go run . -out ../../usual_amd64.s -stubs ../../usual_stubs_amd64.go -pkg packet"

func parseBurst(ms []*mbuf.Mbuf, pkts []Packet) (bytes uint64, usual int) {
	_ = pkts[len(ms)-1]
	return parseUsual((**byte)(unsafe.Pointer(unsafe.SliceData(ms))), (*byte)(unsafe.Pointer(unsafe.SliceData(pkts))), len(ms))
}

func translatePlain(m *mbuf.Mbuf, header, at, n int, t *Translation) {
	translateUsual((*byte)(unsafe.Pointer(m)), header, at, n, (*byte)(unsafe.Pointer(t)))
}

func translateAll(first *Moved, stride uintptr, n, header int, a Ahead) {
	translateRun((*byte)(unsafe.Pointer(first)), stride, n, header, (*byte)(a.First), a.Stride, a.N, a.Notes, a.NoteStride)
}

func prefetchAll(pkts []Packet, p, pStride, q, qStride uintptr) {
	prefetchRun((*byte)(unsafe.Pointer(unsafe.SliceData(pkts))), len(pkts), p, pStride, q, qStride)
}
