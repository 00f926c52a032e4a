package worker

import (
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

const (
	txBurst   = 2 * port.LargeBurst
	txRetries = 8 // attempts to place what a full queue left over, before it is dropped
)

// txQueue gathers packets for a port and sends them in bursts.
type txQueue struct {
	q       port.Queue
	cache   *mbuf.Cache
	n       int
	most    int // packets that are gathered before some are sent
	told    int // of them, those that a trace has told
	ms      [txBurst]*mbuf.Mbuf
	offload bool // TCP checksums are left to the port
	udp     bool // and those of UDP
	packets *uint64
	bytes   *uint64
	full    *uint64
}

// push takes a packet over.
func (t *txQueue) push(m *mbuf.Mbuf) {
	if t.n == t.most {
		t.flush()
	}
	t.ms[t.n] = m
	t.n++
	*t.bytes += uint64(m.PktLen)
}

// flush sends what is gathered. Packets that a queue has no room for are dropped: TCP sends them again.
func (t *txQueue) flush() int {
	ms := t.ms[:t.n]
	for try := 0; len(ms) > 0 && try < txRetries; try++ {
		sent := t.q.TxBurst(ms)
		*t.packets += uint64(sent)
		ms = ms[sent:]
	}
	for _, m := range ms {
		*t.full++
		*t.bytes -= uint64(m.PktLen)
		t.cache.Free(m)
	}
	n := t.n
	t.n, t.told = 0, 0
	return n
}
