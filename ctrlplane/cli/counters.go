package cli

import (
	"slices"
	"strings"
	"sync/atomic"

	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// counterReader reads the counters of a segment by name, so that it shows whatever the data plane that made it counts.
type counterReader struct {
	seg   *shm.Segment
	table *shm.Table
}

// worker returns worker i's counter of that name, 0 when there is none.
func (r *counterReader) worker(i int, name string) uint64 {
	c, ok := r.table.Find(name)
	if !ok {
		return 0
	}
	return r.at(i, c)
}

func (r *counterReader) at(i int, c shm.Counter) uint64 {
	return atomic.LoadUint64(&r.seg.Worker(i).Counters[c])
}

// sum returns the counter over all workers, or the control plane's.
func (r *counterReader) sum(c shm.Counter) uint64 {
	if c.Control() {
		return atomic.LoadUint64(&r.seg.ControlCounters()[c])
	}
	var n uint64
	for i := range r.seg.Workers() {
		n += r.at(i, c)
	}
	return n
}

func (r *counterReader) total(name string) uint64 {
	c, ok := r.table.Find(name)
	if !ok {
		return 0
	}
	return r.sum(c)
}

func (r *counterReader) port(s flowtable.Side, name string) PortStatus {
	side := s.String()
	return PortStatus{
		Side: side, Name: name, Kind: r.seg.PortKind(s), Link: r.link(s), MTU: r.seg.MTU(s), Queues: r.queues(s),
		RxPackets: r.total("rx_" + side + "_packets"), RxBytes: r.total("rx_" + side + "_bytes"),
		TxPackets: r.total("tx_" + side + "_packets"), TxBytes: r.total("tx_" + side + "_bytes"),
	}
}

// link is what a data plane that runs says; of one that is gone nothing is known.
func (r *counterReader) link(s flowtable.Side) string {
	if !r.seg.DataPlaneRuns() {
		return shm.LinkUnknown.String()
	}
	return r.seg.Link(s).String()
}

func (r *counterReader) core(i int) CoreStatus {
	c := CoreStatus{
		Worker: i, Core: r.seg.Core(i),
		RxPackets: r.worker(i, "rx_inside_packets") + r.worker(i, "rx_outside_packets"),
		TxPackets: r.worker(i, "tx_inside_packets") + r.worker(i, "tx_outside_packets"),
		Sleeps:    r.worker(i, "idle_sleeps"),
	}
	r.table.Range(func(at shm.Counter, info shm.Info) bool {
		if info.Kind == shm.KindDrop {
			c.Drops += r.at(i, at)
		}
		return true
	})
	busy, idle := r.worker(i, "busy_cycles"), r.worker(i, "idle_cycles")
	if busy+idle > 0 {
		c.Busy = float64(busy) / float64(busy+idle)
	}
	return c
}

// queues returns how many queues of a port are polled.
func (r *counterReader) queues(s flowtable.Side) int {
	if strings.HasSuffix(r.seg.PortKind(s), shm.SharedQueue) {
		return 1
	}
	return r.seg.Workers()
}

// kind returns the counters of some kinds in the order of the table. The counters of stages are not among them.
func (r *counterReader) kind(kinds ...shm.Kind) []NamedCount {
	counts := []NamedCount{}
	r.table.Range(func(at shm.Counter, info shm.Info) bool {
		if slices.Contains(kinds, info.Kind) && !strings.HasPrefix(info.Name, "stage_") {
			counts = append(counts, NamedCount{info.Name, r.sum(at), info.Unit, info.Help})
		}
		return true
	})
	return counts
}

func (r *counterReader) stages() []StageStatus {
	var stages []StageStatus
	for s := range shm.NumStages {
		st := StageStatus{Name: s.String(), Packets: r.sum(s.Packets()), Cycles: r.sum(s.Cycles())}
		if st.Packets > 0 {
			st.CyclesPerPacket = float64(st.Cycles) / float64(st.Packets)
		}
		stages = append(stages, st)
	}
	return stages
}
