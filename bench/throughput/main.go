// Command throughput measures what a gateway costs: one TCP stream of iperf3 between two namespaces, through two gateways,
// against the same through something else in their place. That is two dpdk-testpmd, which only forward packets, on the same devices; or
// two wireguard-go, which encrypt them, while the gateways have packet ports and all devices their offloads. Both take turns in one
// topology, and what counts are the medians. The script bench/e2e and `make bench-wireguard` build and run it.
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
)

// Whom the gateways are measured against.
const (
	testpmd   = "dpdk-testpmd"
	wireguard = "wireguard-go"
)

// wanted is the least that the gateways are to carry of what the other does.
var wanted = map[string]float64{testpmd: 0.5, wireguard: 1.8}

type options struct {
	runs, seconds          int
	device, poll, opponent string
}

func main() {
	var o options
	flag.IntVar(&o.runs, "runs", 3, "measure `N` times each")
	flag.IntVar(&o.seconds, "seconds", 5, "measure for `S` seconds each time")
	flag.StringVar(&o.device, "device", string(topology.AFXDP), "DPDK's `DRIVER` on the namespaces' devices: net_af_xdp or net_af_packet")
	flag.StringVar(&o.poll, "poll", "adaptive", "how linecrypt polls: adaptive or busy")
	flag.StringVar(&o.opponent, "against", testpmd, "`WHOM` to measure against: dpdk-testpmd or wireguard-go")
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
		return fmt.Errorf("--against %s: want %s or %s", o.opponent, testpmd, wireguard)
	case o.device != string(topology.AFXDP) && o.device != string(topology.AFPacket):
		return fmt.Errorf("--device %s: want %s or %s", o.device, topology.AFXDP, topology.AFPacket)
	case os.Geteuid() != 0:
		return errors.New("needs root")
	}
	if o.opponent == wireguard {
		o.device = string(topology.Packet)
		return topology.Tools("iperf3")
	}
	return topology.Tools("iperf3", testpmd)
}

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
	huge := topology.ReserveHugepages()
	defer func() { err = errors.Join(err, huge.Restore()) }()
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	top, err := topology.New(topology.Options{Direct: true, Offloads: o.opponent == wireguard, Bin: filepath.Dir(self)})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, top.Close()) }()
	stopIperf, err := top.StartIperf()
	if err != nil {
		return false, err
	}
	defer stopIperf()
	o.describe(huge)
	b := &bench{options: o, top: top, huge: huge.Huge}
	if err := b.takeTurns(ctx); err != nil {
		return false, err
	}
	return b.report(), nil
}

func (o *options) describe(huge *topology.Reservation) {
	fmt.Printf("iperf3, one stream, %d s, %d runs each, in turns; port %s; %s\n", o.seconds, o.runs, o.device, huge.Text)
	fmt.Printf("machine: %s; kernel %s\n", cpuModel(), kernel())
	if o.opponent == wireguard {
		fmt.Printf("linecrypt polls: %s; all offloads are on\n", o.poll)
		return
	}
	fmt.Printf("linecrypt polls: %s; dpdk-testpmd polls busily, as it always does\n", o.poll)
}

// bench holds the figures in bits a second.
type bench struct {
	*options
	top         *topology.Topology
	huge        bool
	other, ours []float64
}

func (b *bench) takeTurns(ctx context.Context) error {
	start := b.startForwarders
	if b.opponent == wireguard {
		start = b.startWireguard
	}
	for i := range b.runs {
		other, err := b.once(ctx, start)
		if err != nil {
			return fmt.Errorf("%s: %w", b.opponent, err)
		}
		ours, err := b.once(ctx, b.startGateways)
		if err != nil {
			return fmt.Errorf("linecrypt: %w", err)
		}
		b.other, b.ours = append(b.other, other), append(b.ours, ours)
		fmt.Printf("run %d: %s %.3f Gbit/s, linecrypt %.3f Gbit/s\n", i+1, b.opponent, other/1e9, ours/1e9)
	}
	return nil
}

// once measures with what start puts into both gateways' places.
func (b *bench) once(ctx context.Context, start func() (stop func() error, err error)) (rate float64, err error) {
	stop, err := start()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := b.awaitPath(ctx); err != nil {
		return 0, err
	}
	return b.top.Iperf(ctx, b.seconds)
}

// probePort is for awaitPath alone: a visitor that goes away at once upsets iperf3's server.
const probePort = 5200

// awaitPath waits until the server answers through both forwarders.
func (b *bench) awaitPath(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, topology.Patience)
	defer cancel()
	addr := fmt.Sprintf("%s:%d", topology.Server4, probePort)
	l, err := b.top.Server.Listen(addr)
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		try, cancelTry := context.WithTimeout(ctx, 2*time.Second)
		conn, err := b.top.Client.Dial(try, addr)
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
	kind := topology.PortKind(b.device)
	var gateways []*topology.Gateway
	stop := func() error {
		var errs []error
		for _, g := range gateways {
			errs = append(errs, g.Stop())
		}
		return errors.Join(errs...)
	}
	for _, side := range []topology.Side{topology.SideA, topology.SideB} {
		g, err := b.top.Start(side, kind, "workers.poll="+b.poll)
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		gateways = append(gateways, g)
	}
	return stop, nil
}

// report prints the medians and their ratio.
func (b *bench) report() bool {
	other, ours := median(b.other), median(b.ours)
	ratio := ours / other
	fmt.Printf("\n%-22s %.3f Gbit/s\n%-22s %.3f Gbit/s\n%-22s %.2f (wanted: %.2f)\n", b.opponent+":", other/1e9, "linecrypt:", ours/1e9,
		"ratio:", ratio, wanted[b.opponent])
	return ratio >= wanted[b.opponent]
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	n := len(x)
	return (x[(n-1)/2] + x[n/2]) / 2
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
