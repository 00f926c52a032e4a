package gateway

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/port"
	"linecrypt/flowtable"
)

// watchEvery is the interval of looking at the ports.
const watchEvery = 100 * time.Millisecond

// adviseEvery is the least time between two warnings about the same thing at a port.
const adviseEvery = time.Minute

// portWatch looks after the ports: it has them follow their devices, tells in the log and in the segment what became of them, and
// brings what they count into the workers' counters. It is apart from the heartbeat, because a port may take its time to attach
// to a device again, and from the workers, because a device may take its time to say what it counted.
type portWatch struct {
	g        *Gateway
	ports    [2]watchedPort
	counters []*shm.Block // the workers'
}

// watchedPort is what is known of one port.
type watchedPort struct {
	port.Port
	log     *slog.Logger // that names it
	side    flowtable.Side
	state   port.State
	fault   string
	counted port.Stats // of all queues, when they were last looked at
	said    [2]time.Time
}

func newPortWatch(g *Gateway) *portWatch {
	w := &portWatch{g: g}
	for i := range g.workers {
		w.counters = append(w.counters, g.seg.Worker(i).Counters)
	}
	for side, p := range []port.Port{flowtable.Inside: g.opt.Inside, flowtable.Outside: g.opt.Outside} {
		w.ports[side] = watchedPort{Port: p, log: g.opt.Log.With("side", flowtable.Side(side).String(), "port", p.Name()), side: flowtable.Side(side), state: port.State{Link: port.LinkUp, MTU: p.MTU(), Attached: 1}}
	}
	return w
}

// run looks at the ports until ctx is done.
func (w *portWatch) run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look()
		}
	}
}

func (w *portWatch) look() {
	for i := range w.ports {
		p := &w.ports[i]
		s := p.Follow()
		w.tell(p, s)
		p.state = s
		w.g.seg.SetLink(p.side, shmLink(s.Link), s.MTU)
		w.g.mtus.Set(p.side, p.MTU())
	}
	w.count()
}

func shmLink(l port.Link) shm.Link {
	switch l {
	case port.LinkUp:
		return shm.LinkUp
	case port.LinkDown:
		return shm.LinkDown
	case port.LinkGone:
		return shm.LinkGone
	}
	return shm.LinkUnknown
}

// tell logs what is new about a port.
func (w *portWatch) tell(p *watchedPort, s port.State) {
	log := p.log
	if s.Attached != p.state.Attached {
		log.Info("the port was attached to its interface anew, which had been removed or had changed")
	}
	if s.Link != p.state.Link {
		switch s.Link {
		case port.LinkUp:
			log.Info("the link is up again")
		case port.LinkDown:
			log.Warn("the link is down: nothing passes")
		case port.LinkGone:
			log.Warn("the interface is gone: nothing passes until there is one of that name, which the port then takes up")
		}
	}
	if s.MTU != p.state.MTU {
		log.Info("the MTU changed", "from", p.state.MTU, "to", s.MTU)
	}
	fault := ""
	if s.Fault != nil {
		fault = s.Fault.Error()
	}
	switch {
	case fault == p.fault:
	case fault == "":
		log.Info("the port is as it should be again")
	case s.Link == port.LinkUp:
		log.Warn("the port does not do what it should", "reason", fault)
	default:
		log.Warn("the port cannot be used", "reason", fault)
	}
	p.fault = fault
}

// count brings the ports' counters into those of the workers, whose queues they are.
func (w *portWatch) count() {
	var sums [2]port.Stats
	for i := range w.g.workers {
		var both port.Stats
		for side := range w.ports {
			s := w.ports[side].Queue(i).Stats()
			both.Add(s)
			sums[side].Add(s)
		}
		for _, c := range [...]struct {
			at shm.Counter
			n  uint64
		}{
			{shm.DropSuperPacket, both.RxSuperPacket}, {shm.DropRxNoBuffer, both.RxNoMbuf}, {shm.DropRxMissed, both.RxMissed},
			{shm.DropRxTruncated, both.RxTruncated}, {shm.DropTxError, both.TxErrors}, {shm.DropSpreadFull, both.RxSpreadFull},
			{shm.UnfinishedChecksums, both.RxCsumUnfinished},
		} {
			atomic.StoreUint64(&w.counters[i][c.at], c.n)
		}
	}
	for side := range w.ports {
		w.advise(&w.ports[side], sums[side])
	}
}

// advise warns of what offloads at the senders do to a port.
func (w *portWatch) advise(p *watchedPort, now port.Stats) {
	for i, c := range []struct {
		n    uint64
		text string
	}{
		{now.RxSuperPacket - p.counted.RxSuperPacket,
			"packets larger than the MTU are dropped: segmentation offload is on at their sender"},
		{now.RxCsumUnfinished - p.counted.RxCsumUnfinished,
			"packets come with unfinished checksums, which kills their connections: checksum offload is on at their sender, and this kind of port is not told"},
	} {
		if c.n == 0 || time.Since(p.said[i]) < adviseEvery {
			continue
		}
		p.said[i] = time.Now()
		advice := ""
		if w.g.opt.Hint != nil {
			advice = w.g.opt.Hint(p.side)
		}
		w.g.opt.Log.Warn(c.text, "side", p.side.String(), "port", p.Name(), "packets", c.n, "fix", advice)
	}
	p.counted = now
}
