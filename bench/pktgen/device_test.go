package pktgen

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"linecrypt/bench/pktgen/ends"
	"linecrypt/bench/pktgen/scenario"
	"linecrypt/bench/testenv"
	"linecrypt/cryptobatch"
	"linecrypt/dataplane/gateway"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/portspec"
)

// The load and the gateway are joined by two veth pairs in a network namespace of their own, and by the kinds of port that users have
// without a NIC. A process of its own lives in the namespace, because a port looks after its interface from several threads.

// deviceEnv holds the ports of the process in the namespace: of the load's inside and outside, and of the gateway's.
const deviceEnv = "LINECRYPT_TEST_DEVICE_PORTS"

func TestLoadOverDevicePorts(t *testing.T) {
	testenv.NeedRoot(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, load, gateway string // ports, with # for the number and % for the interface
		dpdk                bool
	}{
		{"AF_PACKET", "packet:%", "packet:%", false},
		{"AF_XDP", "net_af_xdp#,iface=%", "packet:%", true},
		{"DPDK's AF_PACKET", "net_af_packet#,iface=%", "packet:%", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.dpdk && !portspec.HasDPDK {
				t.Skip("this test was built without DPDK")
			}
			ns := testenv.NewNetNS(t)
			var ports []string
			var far []string
			for i := range 2 {
				a, b := testenv.Veth(t, ns, ns)
				for _, dev := range []string{a, b} {
					testenv.OffloadsOff(t, ns, dev)
				}
				name := strings.NewReplacer("#", string(rune('0'+i)), "%", a)
				ports = append(ports, name.Replace(tt.load))
				far = append(far, strings.NewReplacer("#", string(rune('2'+i)), "%", b).Replace(tt.gateway))
			}
			cmd := testenv.Command(ns, self, "-test.run=^TestLoadWithinTheNamespace$", "-test.v", "-test.timeout=90s")
			cmd.Env = append(os.Environ(), deviceEnv+"="+strings.Join(append(ports, far...), " "))
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS: TestLoadWithinTheNamespace") {
				t.Errorf("%v: %s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

func TestLoadWithinTheNamespace(t *testing.T) {
	ports := strings.Fields(os.Getenv(deviceEnv))
	if len(ports) != 4 {
		t.Skip("TestLoadOverDevicePorts runs it in a namespace")
	}
	stop := gatewayBetween(t, ports[2], ports[3])
	defer stop()
	sc, err := load([]string{"both"}, []string{
		"ports.kind=device", "ports.inside=" + ports[0], "ports.outside=" + ports[1], "traffic.flows=20", "traffic.window=32", "traffic.plain=20",
		"rekey.far=3", "time.warmup=50ms", "time.duration=1s", "limits.allocs=-1", "limits.gc_cycles=-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	res, err := Run(context.Background(), sc, &live{})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Failures) > 0 || res.SegmentsMps <= 0 || res.Loss > 0 || res.Mode != "device" || res.Cores != 0 || res.Rekeyed == 0 {
		text, _ := json.Marshal(res)
		t.Errorf("%s", text)
	}
	t.Logf("%.4f million segments a second, %d generations of keys, drops %v", res.SegmentsMps, res.Rekeyed, res.Drops)

	if !strings.HasPrefix(ports[0], "packet:") {
		return // DPDK starts once in a process
	}
	// What a gateway elsewhere loses is seen, though far ends send it again.
	if sc, err = load([]string{"seal-512"}, []string{
		"ports.kind=device", "ports.inside=" + ports[0], "ports.outside=" + ports[1], "traffic.flows=20", "traffic.window=32", "traffic.patience=20ms",
	}); err != nil {
		t.Fatal(err)
	}
	p, err := newPlan(sc)
	if err != nil {
		t.Fatal(err)
	}
	p.tap = func(w ends.Wire) ends.Wire { return &leaky{Wire: w} }
	d, err := p.driver()
	if err != nil {
		t.Fatal(err)
	}
	err = drive(context.Background(), sc, d, &live{}, func(r *run) error {
		if err := r.open(); err != nil {
			return err
		}
		before := d.load().Counts
		s := d.trial(r.ctx, 2000, 200*time.Millisecond, nil)
		r.settle(&s, &before)
		if share := s.lossShare(); share < 0.01 || r.goes(&s) {
			t.Errorf("of %d packets a share of %g is lost, with %d segments sent again", s.packets(), share, d.load().Resent)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// leaky is a wire that loses one packet in twenty of what comes out of the gateway.
type leaky struct {
	ends.Wire
	n int
}

func (w *leaky) Receive(ms []*mbuf.Mbuf, at []int64) int {
	n, left := w.Wire.Receive(ms, at), 0
	for i, m := range ms[:n] {
		if w.n++; w.n%20 == 0 {
			// a frame of no known type is as good as lost
			m.Data()[12] = 0
		}
		ms[left], at[left] = ms[i], at[i]
		left++
	}
	return left
}

// gatewayBetween runs a gateway of this process over two ports until stop is called.
func gatewayBetween(t *testing.T, in, out string) (stop func()) {
	t.Helper()
	sc := scenario.Default()
	cfg, err := gatewayConfig(sc)
	if err == nil {
		err = cfg.Set("test", "workers.poll", "adaptive") // what it does not need, the load has
	}
	if err != nil {
		t.Fatal(err)
	}
	arena, err := mbuf.NewArena(gatewayBuffers(sc), mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	caches := []*mbuf.Cache{mbuf.NewCache(arena)}
	var open [2]port.Port
	for i, name := range []string{in, out} {
		spec, err := portspec.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if open[i], err = portspec.Open(spec, port.Config{Queues: 1, Caches: caches, OpenTimeout: openTimeout}); err != nil {
			t.Fatal(err)
		}
	}
	engine, err := cryptobatch.New(cryptobatch.Select("", ""))
	if err != nil {
		t.Fatal(err)
	}
	i, err := newInstance(sc, cfg, open[inside], open[outside], caches, []int{-1}, engine, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended, tended := make(chan struct{}), make(chan error, 1), make(chan struct{})
	go func() { ended <- i.run(ctx, func() { close(ready) }) }()
	<-ready
	go func() {
		defer close(tended)
		for clock := gateway.Monotonic(); ctx.Err() == nil; time.Sleep(100 * time.Microsecond) {
			i.tend(clock(), false)
		}
	}()
	return func() {
		cancel()
		<-tended
		if err := errors.Join(<-ended, i.close(), open[0].Close(), open[1].Close(), arena.Close()); err != nil {
			t.Error(err)
		}
	}
}
