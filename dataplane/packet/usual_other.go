//go:build !amd64

package packet

import "linecrypt/dataplane/mbuf"

func parseBurst(ms []*mbuf.Mbuf, pkts []Packet) (bytes uint64, usual int) {
	return parseBurstGo(ms, pkts)
}

func translatePlain(m *mbuf.Mbuf, header, at, n int, t *Translation) {
	translatePlainGo(m, header, at, n, t)
}

func translateAll(first *Moved, stride uintptr, n, header int, _ Ahead) {
	translateAllGo(first, stride, n, header)
}

func prefetchAll(_ []Packet, _, _, _, _ uintptr) {}
