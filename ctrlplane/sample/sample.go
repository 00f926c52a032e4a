// Package sample reads the counters of a running data plane at a moment, and makes rates of two such readings: what is drawn over time. It reads
// shared memory alone, a few hundred words for each worker.
package sample

import (
	"sync/atomic"
	"time"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/trouble"
	"linecrypt/flowtable"
)

// Sample is a reading.
type Sample struct {
	At         time.Time
	Workers    []Worker
	Sealed     uint64 // bytes of plaintext
	Opened     uint64
	Clear      uint64 // bytes of TCP data in the clear
	Handshakes uint64 // that ended with keys
	Resumed    uint64 // of them, that resumed a session
	Plain      uint64 // connections left in the clear
	Refused    uint64
	Aborted    uint64
	Encrypted  uint64            // connections that are encrypted
	InClear    uint64            // that pass in the clear
	Drops      map[string]uint64 // by name, those that are not zero
}

// Worker is one worker's part.
type Worker struct {
	Core    int // -1: any
	Packets uint64
	Bytes   uint64 // of packets received
	Busy    uint64 // cycles
	Idle    uint64
	Lost    uint64 // packets dropped that mean trouble
	Stages  [shm.NumStages]Stage
}

// Stage is what went through a stage.
type Stage struct{ Packets, Cycles uint64 }

// Take reads a segment.
func Take(seg *shm.Segment) Sample {
	s := Sample{At: time.Now(), Drops: map[string]uint64{}}
	table := seg.Counters()
	for i := range seg.Workers() {
		part := seg.Worker(i)
		at := func(c shm.Counter) uint64 { return atomic.LoadUint64(&part.Counters[c]) }
		w := Worker{
			Core: seg.Core(i), Packets: at(shm.RxInsidePackets) + at(shm.RxOutsidePackets), Bytes: at(shm.RxInsideBytes) + at(shm.RxOutsideBytes),
			Busy: at(shm.BusyCycles), Idle: at(shm.IdleCycles),
		}
		for stage := range shm.NumStages {
			w.Stages[stage] = Stage{at(stage.Packets()), at(stage.Cycles())}
		}
		s.Sealed, s.Opened, s.Clear = s.Sealed+at(shm.SealedBytes), s.Opened+at(shm.OpenedBytes), s.Clear+at(shm.ClearBytes)
		s.Handshakes, s.Resumed = s.Handshakes+at(shm.HandshakesDone), s.Resumed+at(shm.ResumeDone)
		table.Range(func(c shm.Counter, info shm.Info) bool {
			if c.Control() {
				return true
			}
			switch n := at(c); info.Kind {
			case shm.KindDrop:
				if n > 0 {
					s.Drops[info.Name] += n
				}
				if _, bad := trouble.Advice(info.Name); bad {
					w.Lost += n
				}
			case shm.KindPlain:
				s.Plain += n
			case shm.KindRefusal:
				s.Refused += n
			case shm.KindAbort:
				s.Aborted += n
			}
			return true
		})
		if flows, err := part.Flows(); err == nil {
			s.Encrypted += uint64(flows.Count(flowtable.Encrypted))
			s.InClear += uint64(flows.Count(flowtable.Plain))
		}
		s.Workers = append(s.Workers, w)
	}
	return s
}

// Rates are what there was between two readings, a second.
type Rates struct {
	Workers    []WorkerRates
	Sealed     float64 // bit/s
	Opened     float64
	Clear      float64
	Handshakes float64 // a second
	Plain      float64
	Refused    float64
	Aborted    float64
	Drops      map[string]float64 // packets a second by name, those that are not zero
}

// WorkerRates are one worker's.
type WorkerRates struct {
	Packets float64                // a second
	Bits    float64                // bit/s received
	Busy    float64                // share of its time, 0 to 1
	Lost    float64                // packets a second
	Cycles  [shm.NumStages]float64 // a packet
}

// Since returns the rates since an earlier reading of the same data plane: of another one, whose counters are larger, they are zero.
func (s *Sample) Since(before *Sample) Rates {
	d := s.At.Sub(before.At).Seconds()
	per := func(now, then uint64) float64 {
		if now < then || d <= 0 {
			return 0
		}
		return float64(now-then) / d
	}
	r := Rates{
		Sealed: 8 * per(s.Sealed, before.Sealed), Opened: 8 * per(s.Opened, before.Opened), Clear: 8 * per(s.Clear, before.Clear),
		Handshakes: per(s.Handshakes, before.Handshakes), Plain: per(s.Plain, before.Plain), Refused: per(s.Refused, before.Refused), Aborted: per(s.Aborted, before.Aborted),
		Drops: map[string]float64{},
	}
	for name, n := range s.Drops {
		if rate := per(n, before.Drops[name]); rate > 0 {
			r.Drops[name] = rate
		}
	}
	for i := range s.Workers {
		var then Worker
		if i < len(before.Workers) {
			then = before.Workers[i]
		}
		w := &s.Workers[i]
		one := WorkerRates{Packets: per(w.Packets, then.Packets), Bits: 8 * per(w.Bytes, then.Bytes), Lost: per(w.Lost, then.Lost)}
		if busy, idle := per(w.Busy, then.Busy), per(w.Idle, then.Idle); busy+idle > 0 {
			one.Busy = busy / (busy + idle)
		}
		for stage := range w.Stages {
			if packets := per(w.Stages[stage].Packets, then.Stages[stage].Packets); packets > 0 {
				one.Cycles[stage] = per(w.Stages[stage].Cycles, then.Stages[stage].Cycles) / packets
			}
		}
		r.Workers = append(r.Workers, one)
	}
	return r
}
