package pktgen

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"linecrypt/bench/pktgen/ends"
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/bench/ram"
	"linecrypt/ctrlplane/config"
	"linecrypt/dataplane/gateway"
	"linecrypt/dataplane/mbuf"
)

// generatorBuffers is how many packet buffers the ends need beside the gateway's: what is on its way in a turn, and caches.
const generatorBuffers = 8192

// need is what a run takes of memory, in bytes.
type need struct {
	segment int // in the folder of shared memory
	private int // of the gateway, beside that
	ends    int
}

// total includes what the Go runtime, page tables and the tables of fixed size take.
func (n need) total() int { return (n.segment+n.private+n.ends)/16*17 + 64<<20 }

// needOf computes it.
func needOf(sc *scenario.Scenario, cfg *config.Config) need {
	n := need{ends: sc.Traffic.Flows*ends.MemoryPerFlow(sc.Agreed()) + generatorBuffers*mbuf.BufferSize(mbuf.DefaultDataRoom)}
	if cfg != nil {
		n.segment, n.private = gateway.Memory(cfg)
		n.segment, n.private = cfg.Workers.Count*n.segment, cfg.Workers.Count*n.private
	}
	return n
}

// need is what the plan takes: with measure scaling, all that is there at the same time.
func (p *plan) need() (need, error) {
	n := needOf(p.sc, p.cfg)
	if p.sc.Measure != scenario.Scaling || p.cfg == nil {
		return n, nil
	}
	one := *p.sc
	one.Cores.Workers = 1
	cfg, err := gatewayConfig(&one)
	if err != nil {
		return n, err
	}
	all := needOf(&one, cfg).and(n)
	if p.spreads() {
		all = all.and(n)
	}
	return all, nil
}

func (n need) and(m need) need {
	return need{segment: n.segment + m.segment, private: n.private + m.private, ends: n.ends + m.ends}
}

// check refuses a run for which the machine has no memory.
func (n need) check(sc *scenario.Scenario) error {
	dir := segmentFolder()
	room := math.MaxInt
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) == nil {
		room = int(fs.Bavail) * int(fs.Bsize)
	}
	return n.fits(sc, int(ram.Available()), dir, room)
}

// fits refuses a run that takes more than is free of memory, or more than there is room in the folder of its segment.
func (n need) fits(sc *scenario.Scenario, free int, dir string, room int) error {
	if n.total() > free {
		return sc.Err("traffic.flows", fmt.Errorf("%d connections take %s of memory (%s in the flow table, %s beside it, %s in the generator), and %s are available: take fewer, or a machine with more",
			sc.Traffic.Flows, mib(n.total()), mib(n.segment), mib(n.private), mib(n.ends), mib(free)))
	}
	if n.segment > room {
		return sc.Err("traffic.flows", fmt.Errorf("the flow table of %d connections takes %s in %s, which has room for %s: take fewer, or enlarge it (mount -o remount,size=%dM %s)",
			sc.Traffic.Flows, mib(n.segment), dir, mib(room), n.segment>>20+64, dir))
	}
	return nil
}

func mib(n int) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }

// segmentFolder is where the segment lies: shared memory where there is some.
func segmentFolder() string {
	const shm = "/dev/shm"
	if st, err := os.Stat(shm); err == nil && st.IsDir() && unix.Access(shm, unix.W_OK) == nil {
		return shm
	}
	return os.TempDir()
}
