// Command throughput measures what a gateway costs: one TCP stream of iperf3 between two namespaces, through two gateways,
// against the same through something else in their place. That is two dpdk-testpmd, which only forward packets, on the same devices; or
// two wireguard-go, which encrypt them, while the gateways have packet ports and all devices their offloads. Or hosts that protect
// themselves (linecrypt host), with a cable between them, are measured against two such gateways. Both take turns, and what counts are the
// medians. The script bench/e2e, `make bench-wireguard` and `make bench-host` build and run it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"linecrypt/bench/topology"
	"linecrypt/bench/turns"
)

// Whom the gateways are measured against.
const (
	testpmd   = "dpdk-testpmd"
	wireguard = "wireguard-go"
	gateways  = "gateways" // measured are hosts that protect themselves
)

// wanted is the least that the gateways, or the hosts, are to carry of what the other does.
var wanted = map[string]float64{testpmd: 0.5, wireguard: 1.8, gateways: 0.9}

type options struct {
	runs, seconds          int
	device, poll, opponent string
}

func main() {
	var o options
	flag.IntVar(&o.runs, "runs", 3, "measure `N` times each")
	flag.IntVar(&o.seconds, "seconds", 5, "measure for `S` seconds each time")
	flag.StringVar(&o.device, "device", string(topology.AFXDP), "`KIND` of ports on the namespaces' devices: net_af_xdp, net_af_packet, or xdp, against which dpdk-testpmd has net_af_xdp")
	flag.StringVar(&o.poll, "poll", "adaptive", "how linecrypt polls: adaptive or busy")
	flag.StringVar(&o.opponent, "against", testpmd, "`WHOM` to measure against: dpdk-testpmd, wireguard-go, or gateways, which measures hosts that protect themselves against two gateways")
	flag.Parse()
	err := o.check()
	ok := false
	if err == nil {
		ok, err = o.measure()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "throughput:", err)
	}
	if !ok {
		os.Exit(1)
	}
}

func (o *options) check() error {
	switch {
	case flag.NArg() != 0:
		return fmt.Errorf("unexpected argument %q", flag.Arg(0))
	case o.runs < 1 || o.runs > 100 || o.seconds < 1 || o.seconds > 300:
		return errors.New("--runs is 1 to 100, --seconds 1 to 300")
	case wanted[o.opponent] == 0:
		return fmt.Errorf("--against %s: want %s, %s or %s", o.opponent, testpmd, wireguard, gateways)
	case !slices.Contains([]topology.PortKind{topology.AFXDP, topology.AFPacket, topology.XDP}, topology.PortKind(o.device)):
		return fmt.Errorf("--device %s: want %s, %s or %s", o.device, topology.AFXDP, topology.AFPacket, topology.XDP)
	case os.Geteuid() != 0:
		return errors.New("needs root")
	}
	if o.offloads() {
		o.device = string(topology.Packet)
		return topology.Tools("iperf3")
	}
	return topology.Tools("iperf3", testpmd)
}

// offloads reports whether all devices have theirs, and the gateways packet ports.
func (o *options) offloads() bool { return o.opponent != testpmd }

// measure prints both figures and their ratio, and reports whether it is as wanted.
func (o *options) measure() (ok bool, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	limit := time.Duration(2*o.runs)*(time.Duration(o.seconds)*time.Second+topology.Patience) + time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if _, err := topology.Sweep(); err != nil {
		return false, err
	}
	huge := topology.ReserveHugepages(topology.GatewayMemory)
	defer func() { err = errors.Join(err, huge.Restore()) }()
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	b := &bench{options: o, bin: filepath.Dir(self), huge: huge.Huge}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.build(); err != nil {
		return false, err
	}
	o.describe(huge)
	if err := b.takeTurns(ctx); err != nil {
		return false, err
	}
	return b.report(), nil
}

func (o *options) describe(huge *topology.Reservation) {
	fmt.Printf("iperf3, one stream, %d s, %d runs each, in turns; port %s; %s\n", o.seconds, o.runs, o.device, huge.Text)
	fmt.Printf("machine: %s; kernel %s\n", cpuModel(), kernel())
	if o.offloads() {
		fmt.Printf("linecrypt polls: %s; all offloads are on\n", o.poll)
		return
	}
	fmt.Printf("linecrypt polls: %s; dpdk-testpmd polls busily, as it always does\n", o.poll)
}

// bench is what takes turns: what is measured, and whom it is measured against.
type bench struct {
	*options
	bin  string
	huge bool

	top  *topology.Topology
	stop []func() // iperf3's servers

	cable *topology.Topology // of hosts that protect themselves, else nil
	turns [2]turn
}

// turn is one of the two.
type turn struct {
	name  string
	top   *topology.Topology
	start func() (stop func() error, err error)
	rates []float64 // bits a second
}

func (b *bench) build() (err error) {
	if b.top, err = b.topology(topology.Options{Direct: true}); err != nil {
		return err
	}
	b.turns = [2]turn{{name: b.opponent, top: b.top, start: b.startForwarders}, {name: "linecrypt", top: b.top, start: b.startGateways}}
	switch b.opponent {
	case wireguard:
		b.turns[0].start = b.startWireguard
	case gateways:
		if b.cable, err = b.topology(topology.Options{Cable: true}); err != nil {
			return err
		}
		b.turns[0].start = b.startGateways
		b.turns[1] = turn{name: "host mode", top: b.cable, start: b.startHosts}
	}
	return nil
}

// topology builds one with iperf3's server in it.
func (b *bench) topology(o topology.Options) (*topology.Topology, error) {
	o.Offloads, o.Bin = b.offloads(), b.bin
	top, err := topology.New(o)
	if err != nil {
		return nil, err
	}
	stop, err := top.StartIperf()
	if err != nil {
		return nil, errors.Join(err, top.Close())
	}
	b.stop = append(b.stop, stop)
	return top, nil
}

func (b *bench) close() error {
	var errs []error
	for _, stop := range b.stop {
		stop()
	}
	for _, top := range []*topology.Topology{b.top, b.cable} {
		if top != nil {
			errs = append(errs, top.Close())
		}
	}
	return errors.Join(errs...)
}

func (b *bench) takeTurns(ctx context.Context) error {
	for i := range b.runs {
		for n := range b.turns {
			t := &b.turns[n]
			rate, err := b.once(ctx, t)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			t.rates = append(t.rates, rate)
		}
		x, y := &b.turns[0], &b.turns[1]
		fmt.Printf("run %d: %s %.3f Gbit/s, %s %.3f Gbit/s\n", i+1, x.name, x.rates[i]/1e9, y.name, y.rates[i]/1e9)
	}
	return nil
}

// once measures with what one of the two puts in place.
func (b *bench) once(ctx context.Context, t *turn) (rate float64, err error) {
	stop, err := t.start()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := awaitPath(ctx, t.top); err != nil {
		return 0, err
	}
	return t.top.Iperf(ctx, b.seconds)
}

// probePort is for awaitPath alone: a visitor that goes away at once upsets iperf3's server.
const probePort = 5200

// awaitPath waits until the server answers the client through what is in place.
func awaitPath(ctx context.Context, top *topology.Topology) error {
	ctx, cancel := context.WithTimeout(ctx, topology.Patience)
	defer cancel()
	addr := fmt.Sprintf("%s:%d", topology.Server4, probePort)
	l, err := top.Server.Listen(addr)
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		try, cancelTry := context.WithTimeout(ctx, 2*time.Second)
		conn, err := top.Client.Dial(try, addr)
		cancelTry()
		if err == nil {
			return conn.Close()
		}
		if ctx.Err() != nil {
			return fmt.Errorf("no path from client to server: %w", err)
		}
	}
}

func (b *bench) startGateways() (func() error, error) {
	return b.startBoth(func(side topology.Side) (*topology.Gateway, error) {
		return b.top.Start(side, topology.PortKind(b.device), "workers.poll="+b.poll)
	})
}

// startHosts has client and server protect themselves.
func (b *bench) startHosts() (func() error, error) {
	return b.startBoth(func(side topology.Side) (*topology.Gateway, error) {
		return b.cable.StartHost(side, "workers.poll="+b.poll)
	})
}

// startBoth starts a gateway on each side. Stop stops them, and returns an error where one of them has encrypted nothing: then it was not
// measured.
func (b *bench) startBoth(start func(topology.Side) (*topology.Gateway, error)) (stop func() error, err error) {
	var started []*topology.Gateway
	end := func(ask func(*topology.Gateway) error) error {
		var errs []error
		for _, g := range started {
			errs = append(errs, ask(g), g.Stop())
		}
		return errors.Join(errs...)
	}
	for _, side := range []topology.Side{topology.SideA, topology.SideB} {
		g, err := start(side)
		if err != nil {
			return nil, errors.Join(err, end(func(*topology.Gateway) error { return nil }))
		}
		started = append(started, g)
	}
	return func() error { return end(encrypted) }, nil
}

func encrypted(g *topology.Gateway) error {
	st, err := g.Status()
	if err == nil && st.Encryption.EncryptedBytes == 0 {
		err = fmt.Errorf("gateway %s encrypted nothing", g.Side)
	}
	return err
}

// report prints the medians, what lies around them, and the ratio of the second to the first.
func (b *bench) report() bool {
	fmt.Println()
	for _, t := range b.turns {
		fmt.Printf("%-22s %.3f Gbit/s (%.3f to %.3f)\n", t.name+":", turns.Median(t.rates)/1e9, slices.Min(t.rates)/1e9, slices.Max(t.rates)/1e9)
	}
	ratio := turns.Median(turns.Ratios(b.turns[1].rates, b.turns[0].rates))
	fmt.Printf("%-22s %.2f (wanted: %.2f)\n", "ratio:", ratio, wanted[b.opponent])
	return ratio >= wanted[b.opponent]
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	model, cpus := "unknown CPU", 0
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			model = strings.TrimSpace(value)
		case "processor":
			cpus++
		}
	}
	return fmt.Sprintf("%d x %s", cpus, model)
}

func kernel() string {
	text, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(text))
}
