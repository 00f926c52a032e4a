// Command throughput measures what a gateway costs: one TCP stream of iperf3 between two namespaces, through two gateways,
// against the same through two dpdk-testpmd, which only forward packets, on the same devices. Both take turns in one
// topology, and what counts are the medians. The script bench/e2e builds and runs it.
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

// wanted is the least share of the forwarding rate that the gateways are to carry.
const wanted = 0.5

type options struct {
	runs, seconds int
	device, poll  string
}

func main() {
	var o options
	flag.IntVar(&o.runs, "runs", 3, "measure `N` times each")
	flag.IntVar(&o.seconds, "seconds", 5, "measure for `S` seconds each time")
	flag.StringVar(&o.device, "device", string(topology.AFXDP), "DPDK's `DRIVER` on the namespaces' devices: net_af_xdp or net_af_packet")
	flag.StringVar(&o.poll, "poll", "adaptive", "how linecrypt polls: adaptive or busy")
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
	case o.device != string(topology.AFXDP) && o.device != string(topology.AFPacket):
		return fmt.Errorf("--device %s: want %s or %s", o.device, topology.AFXDP, topology.AFPacket)
	case os.Geteuid() != 0:
		return errors.New("needs root")
	}
	return topology.Tools("iperf3", "dpdk-testpmd")
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
	top, err := topology.New(topology.Options{Direct: true, Bin: filepath.Dir(self)})
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
	fmt.Printf("iperf3, one stream, %d s, %d runs each, in turns; DPDK device %s; %s\n", o.seconds, o.runs, o.device, huge.Text)
	fmt.Printf("machine: %s; kernel %s\n", cpuModel(), kernel())
	fmt.Printf("linecrypt polls: %s; dpdk-testpmd polls busily, as it always does\n", o.poll)
}

// bench holds the figures in bits a second.
type bench struct {
	*options
	top              *topology.Topology
	huge             bool
	forward, encrypt []float64
}

func (b *bench) takeTurns(ctx context.Context) error {
	for i := range b.runs {
		f, err := b.once(ctx, b.startForwarders)
		if err != nil {
			return fmt.Errorf("dpdk-testpmd: %w", err)
		}
		e, err := b.once(ctx, b.startGateways)
		if err != nil {
			return fmt.Errorf("linecrypt: %w", err)
		}
		b.forward, b.encrypt = append(b.forward, f), append(b.encrypt, e)
		fmt.Printf("run %d: dpdk-testpmd %.3f Gbit/s, linecrypt %.3f Gbit/s\n", i+1, f/1e9, e/1e9)
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
	f, e := median(b.forward), median(b.encrypt)
	ratio := e / f
	fmt.Printf("\ndpdk-testpmd (forwarding only): %.3f Gbit/s\nlinecrypt (tcpcrypt):           %.3f Gbit/s\nratio:                          %.2f (wanted: %.2f)\n",
		f/1e9, e/1e9, ratio, wanted)
	return ratio >= wanted
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
