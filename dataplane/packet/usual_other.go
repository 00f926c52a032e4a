//go:build !amd64

package packet

import "linecrypt/dataplane/mbuf"

func parseBurst(ms []*mbuf.Mbuf, pkts []Packet) (bytes uint64, usual int) {
	return parseBurstGo(ms, pkts)
}

func translatePlain(m *mbuf.Mbuf, header, at, n int, t *Translation) {
	translatePlainGo(m, header, at, n, t)
}

func translateAll(pkts []Packet, n, header int, first *Moved, stride, _, _ uintptr) {
	translateAllGo(pkts, n, header, first, stride)
}
