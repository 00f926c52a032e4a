package hosts

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/keylog"
	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/server"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/gateway"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/memory"
	"linecrypt/dataplane/port/spread"
	"linecrypt/flowtable"
)

// Settings are keys of the configuration file with their values.
type Settings map[string]string

// small keeps a gateway of a test small; a test's own settings come on top.
var small = Settings{
	"flows.max": "1024", "handshake.half_open": "512", "buffers.memory": "18MiB", "reassembly.large_buffers": "16", "resumption.cache": "1024",
	"workers.poll": "adaptive", "workers.idle_sleep": "500us", "metrics.listen": "off",
}

// workers is the number of workers of a gateway for which a test sets none: two, or what LINECRYPT_TEST_WORKERS says.
func workers() string {
	if n := os.Getenv("LINECRYPT_TEST_WORKERS"); n != "" {
		return n
	}
	return "2"
}

// fastPath is the setting of a gateway for which a test says nothing: on, or what LINECRYPT_TEST_FASTPATH says.
func fastPath() string {
	if s := os.Getenv("LINECRYPT_TEST_FASTPATH"); s != "" {
		return s
	}
	return "on"
}

// Gateway is a whole gateway within the process.
type Gateway struct {
	Config *config.Config

	dir      string
	data     *gateway.Gateway
	inside   port.Port
	outside  port.Port           // nil where the test gave another
	hash     *spread.Hash        // of ports with one queue; nil where they have one for each worker
	caches   []*mbuf.Cache       // one a worker
	arenas   []*mbuf.Arena       // those that the gateway made itself
	sessions *sessiontable.Table // open for reading, as applications have it
	engine   cryptobatch.Engine
	keyLog   *keylog.Log // nil where none is configured

	// The far sides of the ports.
	insideEnd, outsideEnd *memory.End

	stop    context.CancelFunc
	running sync.WaitGroup
	mu      sync.Mutex
	control *controlPlane
	failed  []error
}

// controlPlane is one control plane's run.
type controlPlane struct {
	server *server.Server
	stop   context.CancelFunc
	done   chan struct{}
}

// newGateway prepares a gateway: its settings and its buffers, which come from pool where that is given. With one queue its ports have
// spreaders.
func newGateway(t testing.TB, name string, own Settings, pool mbuf.Pool, oneQueue bool) *Gateway {
	t.Helper()
	g := &Gateway{Config: config.Default(), dir: t.TempDir()}
	g.Config.Name = name
	g.Config.Memory.HugePages = false // those are for other tests, at the same time
	for _, settings := range []Settings{small, {"workers.count": workers(), "fastpath": fastPath()}, own} {
		for key, value := range settings {
			if err := g.Config.Set("test", key, value); err != nil {
				t.Fatal(err)
			}
		}
	}
	arena := func(workers int) *mbuf.Arena {
		a, err := mbuf.NewArena(workers*gateway.Buffers(g.Config, mbuf.DefaultDataRoom), mbuf.DefaultDataRoom)
		if err != nil {
			t.Fatalf("gateway %s: %v", name, err)
		}
		g.arenas = append(g.arenas, a)
		return a
	}
	n, sharers := g.Config.Workers.Count, 1
	if oneQueue {
		var err error
		if g.hash, err = spread.NewHash(); err != nil {
			t.Fatal(err)
		}
		if sharers = n; pool == nil {
			pool = mbuf.NewShared(arena(n))
		}
	}
	for range n {
		p := pool
		if p == nil {
			p = arena(1)
		}
		g.caches = append(g.caches, mbuf.NewShare(p, sharers))
	}
	return g
}

// spread gives a port with one queue, over a cache of its own, a queue for each worker of the gateway. The network is one of Options.OneQueue.
func (g *Gateway) spread(open func(caches []*mbuf.Cache) (port.Port, error)) (port.Port, error) {
	cache := mbuf.NewShare(g.caches[0].Pool(), len(g.caches))
	dev, err := open([]*mbuf.Cache{cache})
	if err != nil {
		return nil, err
	}
	return spread.New(dev, cache, g.caches, g.hash, spread.Options{})
}

// open opens a port in memory.
func (g *Gateway) open(side string) (p port.Port, end *memory.End, err error) {
	opt := memory.Options{MTU: MTU, RSS: true}
	open := func(caches []*mbuf.Cache) (port.Port, error) {
		var one *memory.Port
		one, end, err = memory.NewEnd(g.Config.Name+"-"+side, opt, caches)
		return one, err
	}
	if g.hash != nil {
		p, err = g.spread(open)
	} else {
		p, err = open(g.caches)
	}
	return p, end, err
}

// start builds the gateway and starts both its planes. Its inside port is one in memory with nothing connected to it yet, as is its
// outside port where none is given.
func (g *Gateway) start(t testing.TB, outside port.Port) {
	t.Helper()
	if err := g.build(outside); err != nil {
		t.Fatalf("gateway %s: %v", g.Config.Name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	g.stop = cancel
	ready := make(chan struct{})
	g.running.Go(func() { g.note(g.data.Run(ctx, func() { close(ready) })) })
	<-ready
	g.StartControl(t)
}

func (g *Gateway) build(outside port.Port) error {
	var err error
	if g.inside, g.insideEnd, err = g.open("inside"); err != nil {
		return err
	}
	if outside == nil {
		if g.outside, g.outsideEnd, err = g.open("outside"); err != nil {
			return err
		}
		outside = g.outside
	} else if g.hash != nil {
		g.outside = outside // a spreader of this gateway's own, which closes the test's port
	}
	if g.engine, err = cryptobatch.New(g.Config.Engine); err != nil {
		return err
	}
	cores := make([]int, len(g.caches))
	for i := range cores {
		cores[i] = -1
	}
	g.data, err = gateway.New(gateway.Options{
		Config: g.Config, SegmentDir: g.dir, Inside: g.inside, Outside: outside, Caches: g.caches, Cores: cores, Engine: g.engine,
	})
	return err
}

func (g *Gateway) sessionsPath() string { return sessiontable.Path(g.dir, g.Config.Name) }

func (g *Gateway) openSessions(seg *shm.Segment) (*sessiontable.Table, error) {
	return sessiontable.OpenWriter(g.sessionsPath(), sessiontable.Options{Capacity: g.Config.Flows.Max, Instance: seg.Nonce(), Group: -1})
}

// StartControl starts a control plane on the gateway's segment and waits until it serves.
func (g *Gateway) StartControl(t testing.TB) {
	t.Helper()
	ready := make(chan struct{})
	peers, err := server.NewPeering(g.Config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("peering of %s: %v", g.Config.Name, err)
	}
	s, err := server.New(server.Options{
		Peering:      peers,
		Open:         func() (*shm.Segment, error) { return shm.OpenControl(g.dir, g.Config.Name) },
		OpenSessions: g.openSessions,
		Terms:        responder.TermsOf(g.Config),
		Ready:        func() { close(ready) },
	})
	if err != nil {
		t.Fatalf("control plane of %s: %v", g.Config.Name, err)
	}
	if path := g.Config.Debug.KeyLog; path != "" && g.keyLog == nil {
		if g.keyLog, err = keylog.Open(path); err != nil {
			t.Fatal(err)
		}
	}
	s.SetKeyLog(g.keyLog)
	ctx, cancel := context.WithCancel(context.Background())
	c := &controlPlane{server: s, stop: cancel, done: make(chan struct{})}
	go func() {
		g.note(s.Run(ctx))
		close(c.done)
	}()
	select {
	case <-ready:
	case <-c.done:
		t.Fatalf("control plane of %s ended: %v", g.Config.Name, g.errors())
	}
	seg := g.data.Segment()
	for end := time.Now().Add(Patience); seg.RulesTaken() != seg.RulesVersion(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("gateway %s does not go by its rules", g.Config.Name)
		}
	}
	g.mu.Lock()
	g.control = c
	g.mu.Unlock()
	if g.sessions != nil && g.sessions.Current() {
		return
	}
	table, err := sessiontable.Open(g.sessionsPath())
	if err != nil {
		t.Fatalf("gateway %s: %v", g.Config.Name, err)
	}
	if g.sessions != nil {
		g.note(g.sessions.Close())
	}
	g.sessions = table
}

// Control returns the control plane that runs, nil for none.
func (g *Gateway) Control() *server.Server {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.control == nil {
		return nil
	}
	return g.control.server
}

// StopControl ends the control plane. From its return on the data plane does without.
func (g *Gateway) StopControl() {
	g.mu.Lock()
	c := g.control
	g.control = nil
	g.mu.Unlock()
	if c != nil {
		c.stop()
		<-c.done
	}
}

func (g *Gateway) note(err error) {
	if err == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failed = append(g.failed, err)
}

func (g *Gateway) errors() []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed
}

// halt ends both planes; the links still run, so that the last packets go out.
func (g *Gateway) halt() {
	g.StopControl()
	g.stop()
	g.running.Wait()
}

// close gives all memory back; the gateway is halted and the links are closed.
func (g *Gateway) close(t testing.TB) {
	for _, f := range []func() error{g.sessions.Close, g.data.Close, g.inside.Close} {
		g.note(f())
	}
	if g.outside != nil {
		g.note(g.outside.Close())
	}
	if g.keyLog != nil {
		g.note(g.keyLog.Close())
	}
	for _, a := range g.arenas {
		g.note(a.Close())
	}
	for _, err := range g.errors() {
		t.Errorf("gateway %s: %v", g.Config.Name, err)
	}
}

// key names a connection as the gateway does.
func key(host, peer netip.AddrPort) flowtable.Key {
	return flowtable.Key{Inside: host.Addr().As16(), Outside: peer.Addr().As16(), InsidePort: host.Port(), OutsidePort: peer.Port()}
}

// Session returns what the session-ID table says about the connection of the gateway's own host with a peer.
func (g *Gateway) Session(host, peer netip.AddrPort) (sessiontable.Entry, bool) {
	k := key(host, peer)
	var e sessiontable.Entry
	ok := g.sessions.Lookup(&k, &e)
	return e, ok
}

// Sessions returns the number of entries of the session-ID table.
func (g *Gateway) Sessions() int {
	n := 0
	g.sessions.Range(func(*sessiontable.Entry) bool { n++; return true })
	return n
}

// Count returns a counter of the data plane by its name. It may be a moment old.
func (g *Gateway) Count(t testing.TB, name string) uint64 {
	t.Helper()
	seg := g.data.Segment()
	c, ok := seg.Counters().Find(name)
	if !ok {
		t.Fatalf("no counter has the name %q", name)
	}
	return sum(seg, c)
}

// Inject brings a frame in from the wire; false where there is no room for it. There is a Wire.
func (g *Gateway) Inject(frame []byte) bool { return g.outsideEnd.Inject(frame) }

// Shares returns a counter of each worker by its name.
func (g *Gateway) Shares(t testing.TB, name string) []uint64 {
	t.Helper()
	seg := g.data.Segment()
	c, ok := seg.Counters().Find(name)
	if !ok {
		t.Fatalf("no counter has the name %q", name)
	}
	var all []uint64
	for i := range seg.Workers() {
		all = append(all, seg.Worker(i).Counters[c])
	}
	return all
}

// sum adds a counter up over the workers.
func sum(seg *shm.Segment, c shm.Counter) uint64 {
	n := uint64(0)
	for i := range seg.Workers() {
		n += seg.Worker(i).Counters[c]
	}
	return n
}

// Counters lists the counters that are not zero.
func (g *Gateway) Counters() string {
	seg := g.data.Segment()
	var b strings.Builder
	seg.Counters().Range(func(c shm.Counter, info shm.Info) bool {
		if n := sum(seg, c); n != 0 && info.Kind != shm.KindCycles {
			fmt.Fprintf(&b, " %s=%d", info.Name, n)
		}
		return true
	})
	return b.String()
}

// Flows returns the number of flow records in a state, seen while the workers go on.
func (g *Gateway) Flows(state flowtable.State) int {
	n, seg := 0, g.data.Segment()
	for i := range seg.Workers() {
		table, err := seg.Worker(i).Flows()
		if err != nil {
			continue
		}
		table.Range(func(_ flowtable.Index, r *flowtable.Record) bool {
			if r.State == state {
				n++
			}
			return true
		})
	}
	return n
}

// AwaitSessions waits until the session-ID table has n entries.
func (g *Gateway) AwaitSessions(t testing.TB, n int, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); g.Sessions() != n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("gateway %s lists %d sessions, want %d", g.Config.Name, g.Sessions(), n)
		}
	}
}
