package port

import "sync/atomic"

// Stats are a queue's own counters: what the port dropped before a worker saw it, by name, and what it could not send.
type Stats struct {
	RxMissed         uint64 // packets lost in the driver because the worker was too slow
	RxNoMbuf         uint64 // packets lost because no buffer was free
	RxSuperPacket    uint64 // packets larger than a buffer (TSO, GSO or GRO left on at the sender) that the port cannot split
	RxTruncated      uint64 // packets shorter than the link-layer header or cut off by the capture
	RxCsumComplete   uint64 // packets whose checksum a local sender had left unfinished and the port completed
	RxCsumUnfinished uint64 // packets whose checksum a local sender left unfinished and the port cannot complete, of those it looked at
	RxSpreadFull     uint64 // packets for whose worker there was no room in the ring that leads to it from the port's one queue
	TxErrors         uint64 // packets the kernel or the device refused
}

// Add adds each counter of o.
func (s *Stats) Add(o Stats) {
	s.RxMissed += o.RxMissed
	s.RxNoMbuf += o.RxNoMbuf
	s.RxSuperPacket += o.RxSuperPacket
	s.RxTruncated += o.RxTruncated
	s.RxCsumComplete += o.RxCsumComplete
	s.RxCsumUnfinished += o.RxCsumUnfinished
	s.RxSpreadFull += o.RxSpreadFull
	s.TxErrors += o.TxErrors
}

// Count is a counter that the polling worker alone adds to and any goroutine reads.
type Count struct{ n atomic.Uint64 }

// Add adds n.
func (c *Count) Add(n int) { c.n.Store(c.n.Load() + uint64(n)) }

// Load returns the count.
func (c *Count) Load() uint64 { return c.n.Load() }
