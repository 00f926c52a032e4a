package pktgen

import (
	"runtime/metrics"

	"linecrypt/bench/pktgen/ends"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/port"
)

// sample is what a trial has shown.
type sample struct {
	seconds     float64 // by the driver's clock
	busy        uint64  // cycles of polls that found work
	ends        ends.Counts
	latency     latencies
	block       shm.Block // the workers' counters, added up
	hasBlock    bool
	cores       int // of the gateway
	perCore     [config.MaxWorkers]coreCounts
	missed      uint64 // packets that found no room in a receive queue of the gateway
	elsewhere   uint64 // packets that a gateway elsewhere lost, or what lies beside it
	unsent      bool   // the generator could not keep the rate up
	control     uint64 // cycles of the control plane
	answered    uint64 // and its answers
	ports       port.Stats
	allocs      uint64
	gcs         uint64
	interrupted uint64 // polls that are left out
}

// coreCounts is what one worker counted.
type coreCounts struct{ packets, busy, idle uint64 }

// latencies are quantiles in µs.
type latencies struct {
	p50, p99, p999 float64
	count          uint64
}

// packets is how many packets the gateway handled: those that it received.
func (s *sample) packets() uint64 {
	if s.hasBlock {
		return s.block[shm.RxInsidePackets] + s.block[shm.RxOutsidePackets]
	}
	return s.ends.Offered[inside] + s.ends.Offered[outside]
}

// lossShare is the share of packets that were lost on the way, of those that were offered.
func (s *sample) lossShare() float64 {
	offered := s.ends.Offered[inside] + s.ends.Offered[outside]
	if offered == 0 {
		return 0
	}
	lost := s.missed + s.elsewhere + s.block[shm.DropTxFull] + s.ports.RxMissed + s.ports.RxNoMbuf + s.ports.RxSpreadFull
	return float64(lost) / float64(offered)
}

// since takes what was counted before off.
func (s *sample) since(before *sample) {
	s.busy -= before.busy
	s.ends = s.ends.Since(&before.ends)
	for i := range s.block {
		s.block[i] -= before.block[i]
	}
	for i := range s.perCore[:s.cores] {
		c, b := &s.perCore[i], &before.perCore[i]
		c.packets, c.busy, c.idle = c.packets-b.packets, c.busy-b.busy, c.idle-b.idle
	}
	s.missed -= before.missed
	s.control -= before.control
	s.answered -= before.answered
	s.allocs -= before.allocs
	s.gcs -= before.gcs
	s.interrupted -= before.interrupted
	s.ports.RxMissed -= before.ports.RxMissed
	s.ports.RxNoMbuf -= before.ports.RxNoMbuf
	s.ports.RxSpreadFull -= before.ports.RxSpreadFull
	s.ports.TxErrors -= before.ports.TxErrors
}

func quantiles(h *ends.Histogram, perMicro float64) latencies {
	q := func(x float64) float64 { return float64(h.Quantile(x)) / perMicro }
	return latencies{p50: q(0.5), p99: q(0.99), p999: q(0.999), count: h.Count()}
}

// goRuntime reads what the Go runtime counts. It lies with who asks, so that asking allocates nothing: the runtime counts small objects when it
// takes room for more, and an object too many then brings those of before the measurement into it.
type goRuntime struct{ samples [2]metrics.Sample }

// read returns allocations and garbage collections of the process.
func (g *goRuntime) read() (allocs, gcs uint64) {
	g.samples[0].Name, g.samples[1].Name = "/gc/heap/allocs:objects", "/gc/cycles/total:gc-cycles"
	metrics.Read(g.samples[:])
	return g.samples[0].Value.Uint64(), g.samples[1].Value.Uint64()
}
