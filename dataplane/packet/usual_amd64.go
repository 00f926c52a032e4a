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

func translateAll(first *Moved, stride uintptr, n, header int, a Ahead) {
	translateRun((*byte)(unsafe.Pointer(first)), stride, n, header, (*byte)(a.First), a.Stride, a.N, a.Notes, a.NoteStride)
}

// PrefetchRun asks for the lines of packets, of which there is one, as mbuf.PrefetchPacket does, and for two lines from p on and two from q on
// for the first, and as far from there as the strides say for each other. These may be the places of nothing.
func PrefetchRun(pkts []Packet, p, pStride, q, qStride uintptr) {
	prefetchRun((*byte)(unsafe.Pointer(unsafe.SliceData(pkts))), len(pkts), p, pStride, q, qStride)
}
