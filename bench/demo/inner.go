package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/bench/topology"
)

// limit bounds the whole demo.
const limit = 5 * time.Minute

// inner makes the topology, runs the demo in it and removes it, or stays with it.
func inner(ports string, workers int, keep, host bool) (err error) {
	parent := os.NewFile(3, "front")
	syscall.CloseOnExec(3)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	go func() {
		// Nothing is ever sent: this is the end of the front process, before which this one is to be gone, unless it is kept.
		_, _ = parent.Read(make([]byte, 1))
		cancel()
	}()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	userNamespace := unprivileged()
	if userNamespace {
		if err := topology.Settle(); err != nil {
			return err
		}
	}
	if err := topology.Tools("curl", "iperf3"); err != nil {
		return err
	}
	d := &demo{ctx: ctx, workers: workers, host: host}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.choosePorts(ports, userNamespace); err != nil {
		return err
	}
	if err := d.setUp(); err != nil {
		return err
	}
	if err := d.run(); err != nil {
		return d.explain(err)
	}
	if keep {
		d.howToPlay(userNamespace)
		return stay(parent)
	}
	fmt.Println("\nAll as it should be. `make demo KEEP=1` leaves everything up to play with.")
	return nil
}

// unprivileged tells whether root here is only root of a user namespace that front made.
func unprivileged() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	var inside, outside, size uint64
	if err == nil {
		_, err = fmt.Sscan(string(text), &inside, &outside, &size)
	}
	return err == nil && size == 1
}

// stay tells front that this process remains, lets go of its output, and waits to be ended.
func stay(parent *os.File) error {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	for fd := range 3 {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(parent, "kept\n"); err != nil {
		return err
	}
	parent.Close()
	<-end
	return nil
}

// demo is the state of one demonstration.
type demo struct {
	ctx     context.Context
	kind    topology.PortKind
	workers int  // of each gateway
	host    bool // client and server protect themselves
	huge    *topology.Reservation
	top     *topology.Topology
	a, b    *topology.Gateway
	web     *webServer
	iperf   func()
}

// choosePorts takes DPDK ports where there is DPDK and root, and says why where not.
func (d *demo) choosePorts(ports string, userNamespace bool) error {
	fmt.Printf("Linecrypt demo on %s/%s with %d cores\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	kind := topology.PortKind(ports)
	if d.host {
		if userNamespace {
			return errors.New("--host needs root: tcx programs belong to the machine")
		}
		fmt.Println("client and server protect themselves, with linecrypt host")
		d.kind = topology.Packet
		return nil
	}
	switch kind {
	case "auto":
		kind = topology.AFXDP
		why := ""
		switch {
		case !builtWithDPDK():
			why = "the programs were built without DPDK"
		case userNamespace:
			why = "DPDK's AF_XDP needs root"
		}
		if why != "" {
			kind = topology.Packet
			fmt.Println("ports: packet (AF_PACKET), because", why)
		}
	case topology.AFXDP, topology.AFPacket, topology.Packet, topology.XDP:
	default:
		return fmt.Errorf("--ports %s: want auto, %s, %s, %s or %s", ports, topology.AFXDP, topology.AFPacket, topology.XDP, topology.Packet)
	}
	d.kind = kind
	if userNamespace {
		fmt.Println("running without root, in a user namespace")
	}
	if !kind.DPDK() {
		return nil
	}
	fmt.Printf("ports: DPDK, device %s\n", kind)
	d.huge = topology.ReserveHugepages(topology.GatewayMemory)
	fmt.Println("memory:", d.huge.Text)
	return nil
}

// builtWithDPDK reads it from the data plane's program.
func builtWithDPDK() bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	info, err := buildinfo.ReadFile(filepath.Join(filepath.Dir(self), "linecrypt-dataplane"))
	if err != nil {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-tags" {
			for tag := range strings.SplitSeq(s.Value, ",") {
				if tag == "dpdk" {
					return true
				}
			}
		}
	}
	return false
}

func (d *demo) setUp() error {
	if gone, err := topology.Sweep(); err != nil {
		return err
	} else if len(gone) > 0 {
		fmt.Println("removed what earlier runs that were killed had left:", strings.Join(gone, " "))
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if d.top, err = topology.New(topology.Options{Offloads: d.kind == topology.Packet, Bin: filepath.Dir(self)}); err != nil {
		return err
	}
	fmt.Printf("namespaces: %s (%s) - %s - %s - %s - %s (%s)\n", d.top.Client, topology.Client4, d.top.A, d.top.Wire, d.top.B,
		d.top.Server, topology.Server4)
	count := fmt.Sprintf("workers.count=%d", d.workers)
	if d.host {
		return d.protectHosts(count)
	}
	if d.a, err = d.top.Start(topology.SideA, d.kind, count); err != nil {
		return err
	}
	if d.b, err = d.top.Start(topology.SideB, d.kind, count); err != nil {
		return err
	}
	if d.workers == 1 {
		fmt.Println("gateways: both ready")
	} else {
		fmt.Printf("gateways: both ready, with %d workers each\n", d.workers)
	}
	return d.ctx.Err()
}

// protectHosts has client and server protect themselves; in the places of the gateways there are bridges.
func (d *demo) protectHosts(set ...string) (err error) {
	for _, side := range []topology.Side{topology.SideA, topology.SideB} {
		if err := d.top.Plain(side); err != nil {
			return err
		}
	}
	if d.a, err = d.top.StartHost(topology.SideA, set...); err != nil {
		return err
	}
	if d.b, err = d.top.StartHost(topology.SideB, set...); err != nil {
		return err
	}
	fmt.Printf("hosts: both protected, by `linecrypt host --interface %s` on each\n", topology.Host)
	return d.ctx.Err()
}

// explain adds what the gateways said to an error.
func (d *demo) explain(err error) error {
	for _, g := range []*topology.Gateway{d.a, d.b} {
		if g == nil {
			continue
		}
		if text := g.Stderr(); text != "" {
			err = fmt.Errorf("%w\ngateway %s said:\n%s", err, g.Side, text)
		}
	}
	return err
}

func (d *demo) close() error {
	var errs []error
	if d.iperf != nil {
		d.iperf()
	}
	if d.web != nil {
		d.web.close()
	}
	if d.top != nil {
		errs = append(errs, d.top.Close())
	}
	if d.huge != nil {
		errs = append(errs, d.huge.Restore())
	}
	return errors.Join(errs...)
}
