package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"time"

	"linecrypt/bench/topology"
)

// startForwarders puts a dpdk-testpmd into each gateway's place. Each needs a core for its console, which sleeps, and one to
// forward on; the two forward on different ones, as the gateways' workers do.
func (b *bench) startForwarders() (func() error, error) {
	var running []*forwarder
	stop := func() error {
		var errs []error
		for _, f := range running {
			errs = append(errs, f.stop())
		}
		return errors.Join(errs...)
	}
	last := runtime.NumCPU() - 1
	for i, side := range []topology.Side{topology.SideA, topology.SideB} {
		core := max(0, last-i)
		f, err := b.startForwarder(side, core, max(0, last-1+i))
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		running = append(running, f)
	}
	return stop, nil
}

type forwarder struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

func (b *bench) startForwarder(side topology.Side, core, console int) (*forwarder, error) {
	kind := topology.PortKind(b.device)
	if kind == topology.XDP {
		kind = topology.AFXDP // the driver of DPDK's for the same sockets
	}
	args := []string{"--no-pci", "--no-telemetry", "--file-prefix=" + b.top.ID + "-" + side.String(), "-m", "256",
		fmt.Sprintf("--lcores=0@%d,1@%d", console, core), "--main-lcore=0",
		"--vdev", kind.Spec(0, topology.Inside), "--vdev", kind.Spec(1, topology.Outside)}
	if b.huge {
		args = append(args, "--in-memory")
	} else {
		args = append(args, "--no-huge")
	}
	args = append(args, "--", "--forward-mode=io", "--auto-start", "--no-mlockall", "--total-num-mbufs=32768", "--interactive")
	f := &forwarder{cmd: b.top.Place(side).Command(context.Background(), "dpdk-testpmd", args...)}
	stdin, err := f.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	f.stdin = stdin // testpmd ends when its input does
	r, w := io.Pipe()
	f.cmd.Stdout, f.cmd.Stderr = w, w
	f.out = bufio.NewReader(r)
	if err := f.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan error, 1)
	go func() {
		ready <- topology.AwaitText(f.out, "testpmd>")
		_, _ = io.Copy(io.Discard, f.out)
	}()
	select {
	case err = <-ready:
	case <-time.After(topology.Patience):
		err = errors.New("does not start")
	}
	if err != nil {
		return nil, errors.Join(err, f.kill())
	}
	return f, nil
}

func (f *forwarder) stop() error {
	timer := time.AfterFunc(topology.Patience, func() { _ = f.cmd.Cancel() })
	defer timer.Stop()
	_ = f.stdin.Close()
	// Its exit status says nothing about the forwarding, which is over.
	_ = f.cmd.Wait()
	return nil
}

func (f *forwarder) kill() error {
	_ = f.cmd.Cancel()
	return f.cmd.Wait()
}
