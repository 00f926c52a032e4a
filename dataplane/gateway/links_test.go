package gateway

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/memory"
	"linecrypt/flowtable"
)

// scripted is a port whose state and counters the test says.
type scripted struct {
	port.Port
	state port.State
	stats []port.Stats
}

func (p *scripted) Follow() port.State     { return p.state }
func (p *scripted) Queue(i int) port.Queue { return scriptedQueue{p.Port.Queue(0), &p.stats[i]} }
func (p *scripted) Queues() int            { return len(p.stats) }

type scriptedQueue struct {
	port.Queue
	stats *port.Stats
}

func (q scriptedQueue) Stats() port.Stats { return *q.stats }

// watched makes a gateway of n workers over scripted ports.
func watched(t *testing.T, n int) (in, out *scripted, w *portWatch, log *strings.Builder) {
	t.Helper()
	var caches []*mbuf.Cache
	var cores []int
	for range n {
		arena, err := mbuf.NewArena(1024, mbuf.DefaultDataRoom)
		if err != nil {
			t.Fatal(err)
		}
		caches, cores = append(caches, mbuf.NewCache(arena)), append(cores, -1)
	}
	a, b, err := memory.NewPair("eth0", "eth1", memory.Options{}, caches, caches)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := cryptobatch.New("generic")
	if err != nil {
		t.Fatal(err)
	}
	up := port.State{Link: port.LinkUp, MTU: 1500, Attached: 1}
	in, out = &scripted{a, up, make([]port.Stats, n)}, &scripted{b, up, make([]port.Stats, n)}
	log = new(strings.Builder)
	cfg := config.Default()
	cfg.Flows.Max = 64
	g, err := New(Options{Config: cfg, SegmentDir: t.TempDir(), Inside: in, Outside: out, Caches: caches, Cores: cores, Engine: engine,
		Log: slog.New(slog.NewTextHandler(log, nil)), Hint: func(s flowtable.Side) string { return "ethtool for " + s.String() }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(g.Close(), a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
	})
	return in, out, newPortWatch(g), log
}

func TestWhatBecomesOfALinkIsLoggedOnceAndShown(t *testing.T) {
	_, out, w, log := watched(t, 1)
	w.look()
	if log.Len() != 0 {
		t.Errorf("nothing happened, but %s", log)
	}
	for _, c := range []struct {
		state port.State
		link  shm.Link
		says  []string
	}{
		{port.State{Link: port.LinkDown, MTU: 1500, Attached: 1}, shm.LinkDown, []string{"WARN", "the link is down"}},
		{port.State{Link: port.LinkUp, MTU: 1500, Attached: 1}, shm.LinkUp, []string{"INFO", "up again"}},
		{port.State{Link: port.LinkUp, MTU: 1400, Attached: 1}, shm.LinkUp, []string{"MTU changed", "from=1500", "to=1400"}},
		{port.State{Link: port.LinkGone, MTU: 1400, Attached: 1, Fault: errors.New("no such interface")}, shm.LinkGone,
			[]string{"the interface is gone", "no such interface"}},
		{port.State{Link: port.LinkUp, MTU: 1500, Attached: 2}, shm.LinkUp, []string{"attached to its interface anew", "up again", "MTU changed", "as it should be"}},
		{port.State{Link: port.LinkUp, MTU: 1500, Attached: 2, Fault: errors.New("has a master")}, shm.LinkUp, []string{"has a master"}},
	} {
		log.Reset()
		out.state = c.state
		w.look()
		for _, text := range append(c.says, "side=outside", "port=eth1") {
			if !strings.Contains(log.String(), text) {
				t.Errorf("%+v: the log lacks %q: %s", c.state, text, log)
			}
		}
		seg := w.g.seg
		if seg.Link(flowtable.Outside) != c.link || seg.MTU(flowtable.Outside) != c.state.MTU || seg.Link(flowtable.Inside) != shm.LinkUp {
			t.Errorf("%+v: status says %v, %d", c.state, seg.Link(flowtable.Outside), seg.MTU(flowtable.Outside))
		}
		log.Reset()
		w.look()
		if log.Len() != 0 {
			t.Errorf("%+v: said twice: %s", c.state, log)
		}
	}
}

func TestWhatPortsDropIsCountedForTheWorkerWhoseQueueItIs(t *testing.T) {
	in, out, w, _ := watched(t, 2)
	in.stats[1] = port.Stats{RxSuperPacket: 3, RxNoMbuf: 4, RxMissed: 5, RxTruncated: 7, TxErrors: 6, RxCsumUnfinished: 8}
	out.stats[1] = port.Stats{RxSuperPacket: 10, TxErrors: 20}
	w.look()
	for c, n := range map[shm.Counter]uint64{shm.DropSuperPacket: 13, shm.DropRxNoBuffer: 4, shm.DropRxMissed: 5, shm.DropRxTruncated: 7,
		shm.DropTxError: 26, shm.UnfinishedChecksums: 8} {
		if a, b := w.g.seg.Worker(0).Counters[c], w.g.seg.Worker(1).Counters[c]; a != 0 || b != n {
			t.Errorf("%v: %d and %d, not 0 and %d", c, a, b, n)
		}
	}
}

func TestOffloadsAreWarnedOfForThePortThatSuffers(t *testing.T) {
	for name, stats := range map[string]port.Stats{
		"segmentation offload": {RxSuperPacket: 1},
		"unfinished checksums": {RxCsumUnfinished: 1},
	} {
		in, _, w, log := watched(t, 1)
		in.stats[0] = stats
		w.look()
		if text := log.String(); !strings.Contains(text, name) || !strings.Contains(text, "ethtool for inside") || strings.Contains(text, "ethtool for outside") {
			t.Errorf("%s: %s", name, text)
		}
		log.Reset()
		in.stats[0].Add(stats)
		if w.look(); log.Len() != 0 {
			t.Errorf("%s: said twice within a minute: %s", name, log)
		}
	}
}

func TestLookingAtPortsThatAreAsTheyWereAllocatesNothing(t *testing.T) {
	_, _, w, _ := watched(t, 2)
	for i := range w.ports {
		w.ports[i].Port = w.ports[i].Port.(*scripted).Port // what is scripted allocates
	}
	if n := testing.AllocsPerRun(10, func() { w.look(); w.g.Beat() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
