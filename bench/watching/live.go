package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/bench/cores"
	"linecrypt/bench/topology"
)

const (
	turn    = time.Second
	settle  = 200 * time.Millisecond // after somebody begins to look, or ends
	address = "127.0.0.1:9469"       // of the page
)

// watcher is somebody who looks, or nobody.
type watcher struct {
	name  string
	pid   int                             // of the process that works for it
	look  func() (stop func(), err error) // begins to look
	rates []float64                       // to those without
	cores []float64                       // used by the process
}

// bed is a stream through two gateways.
type bed struct {
	top      *topology.Topology
	gateway  *topology.Gateway // the one that is looked at
	received atomic.Int64
}

// live prints what watchers cost, and reports whether it is little.
func live(ctx context.Context, rounds int) (ok bool, err error) {
	if _, err := topology.Sweep(); err != nil {
		return false, err
	}
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	b := new(bed)
	if b.top, err = topology.New(topology.Options{Direct: true, Offloads: true, Bin: filepath.Dir(self)}); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, b.top.Close()) }()
	if b.gateway, err = b.top.Start(topology.SideA, topology.Packet, "metrics.listen="+address, "workers.cores=0"); err != nil {
		return false, err
	}
	if _, err := b.top.Start(topology.SideB, topology.Packet, "workers.cores=1"); err != nil {
		return false, err
	}
	top, end, err := b.startTop()
	if err != nil {
		return false, fmt.Errorf("linecrypt top: %w", err)
	}
	defer end()
	stop, err := b.stream(ctx)
	if err != nil {
		return false, err
	}
	defer stop()
	control := b.gateway.ControlPlane()
	all := []*watcher{
		{name: "nobody, who shows how much turns differ", pid: control, look: func() (func(), error) { return func() {}, nil }},
		{name: "linecrypt top", pid: top, look: func() (func(), error) { return freeze(top), unix.Kill(top, unix.SIGCONT) }},
		{name: "the page, with a stream of events", pid: control, look: b.openPage},
	}
	if err := b.takeTurns(ctx, all, rounds); err != nil {
		return false, err
	}
	st, err := b.gateway.Status()
	if err == nil && st.Encryption.EncryptedBytes == 0 {
		err = errors.New("nothing was encrypted")
	}
	ok = true
	// What nobody costs is what these turns cannot tell from nothing.
	unseen := max(allowed, 1-spreadOf(all[0].rates).low)
	for _, w := range all {
		ok = cost(w.name, w.rates, unseen, fmt.Sprintf("; its process takes %.1f %% of a core", 100*mean(w.cores))) && ok
	}
	return ok, err
}

// stream has the client send to the server until stop is called. The client's thread is on the far gateway's core, and the server's on the
// other, because a stream is as fast as the scheduler happens to place threads, and goes on so for seconds.
func (b *bed) stream(ctx context.Context) (stop func(), err error) {
	l, err := b.top.Server.Listen(topology.Server4 + ":7000")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	conn, err := b.top.Client.Dial(ctx, l.Addr().String())
	if err != nil {
		return nil, err
	}
	far, err := l.AcceptTCP()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	end := func() { _, _ = conn.Close(), far.Close() }
	var ends [2]*os.File
	for i, c := range []*net.TCPConn{conn, far} {
		if ends[i], err = c.File(); err == nil {
			err = unix.SetNonblock(int(ends[i].Fd()), false)
		}
		if err != nil {
			end()
			return nil, err
		}
	}
	go pinned(1, func(buf []byte) bool { _, err := unix.Write(int(ends[0].Fd()), buf); return err == nil })
	go pinned(0, func(buf []byte) bool {
		n, err := unix.Read(int(ends[1].Fd()), buf)
		b.received.Add(int64(max(n, 0)))
		return err == nil && n > 0
	})
	return func() {
		_, _ = unix.Shutdown(int(ends[0].Fd()), unix.SHUT_RDWR), unix.Shutdown(int(ends[1].Fd()), unix.SHUT_RDWR)
		end()
	}, nil
}

// pinned calls f again and again on a thread of one core, until it returns false.
func pinned(core int, f func(buf []byte) bool) {
	undo, err := cores.Pin(core)
	if err == nil {
		defer undo()
	}
	for buf := make([]byte, 256<<10); f(buf); {
	}
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v / float64(len(x))
	}
	return m
}

// takeTurns has each watcher look, with a turn in which nobody does before and after it.
func (b *bed) takeTurns(ctx context.Context, all []*watcher, rounds int) error {
	time.Sleep(2 * time.Second) // until the stream has its pace
	before, _, err := b.turn(ctx, nil)
	var rates []float64
	for range rounds {
		for _, w := range all {
			var during, after float64
			var cores []float64
			if err == nil {
				during, cores, err = b.turn(ctx, w)
			}
			if err == nil {
				after, _, err = b.turn(ctx, nil)
			}
			if err != nil {
				return err
			}
			w.rates = append(w.rates, during/((before+after)/2))
			w.cores = append(w.cores, cores...)
			rates = append(rates, after)
			before = after
		}
	}
	s := spreadOf(rates)
	fmt.Printf("one TCP stream, %d turns of %v each; while nobody looks: %.2f Gbit/s (%.2f to %.2f)\n", rounds, turn, s.median*8/1e9, s.low*8/1e9, s.high*8/1e9)
	return nil
}

// turn returns the bytes a second that arrive while somebody looks, and how much of a core that takes beside the gateway's worker.
func (b *bed) turn(ctx context.Context, w *watcher) (rate float64, cores []float64, err error) {
	if ctx.Err() != nil {
		return 0, nil, ctx.Err()
	}
	pid := 0
	if w != nil {
		stop, err := w.look()
		if err != nil {
			return 0, nil, fmt.Errorf("%s: %w", w.name, err)
		}
		defer stop()
		pid = w.pid
	}
	time.Sleep(settle)
	used, n, begun := cpuTime(pid), b.received.Load(), time.Now()
	time.Sleep(turn)
	took := time.Since(begun).Seconds()
	if n = b.received.Load() - n; n == 0 {
		return 0, nil, errors.New("the stream stands still")
	}
	if pid != 0 {
		cores = []float64{(cpuTime(pid) - used).Seconds() / took}
	}
	return float64(n) / took, cores, nil
}

// freeze stops a process, which looks no more, when it is called.
func freeze(pid int) func() { return func() { _ = unix.Kill(pid, unix.SIGSTOP) } }

// startTop runs linecrypt top in a terminal, and stops it as soon as it runs: to start a program costs more than to run it.
func (b *bed) startTop() (pid int, end func(), err error) {
	in, keys, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	line := fmt.Sprintf("stty cols 100 rows 40; exec %s top --name %s", filepath.Join(b.top.Bin(), "linecrypt"), b.gateway.Name)
	cmd := b.top.A.Command(context.Background(), "script", "-qfec", line, "/dev/null")
	cmd.Env = append(b.top.Env(), "TERM=xterm-256color", "SHELL=/bin/sh")
	cmd.Stdin = in
	cmd.Stdout = new(bytes.Buffer)
	if err := cmd.Start(); err != nil {
		return 0, nil, errors.Join(err, in.Close(), keys.Close())
	}
	end = func() {
		_ = cmd.Cancel()
		_ = keys.Close()
		_ = cmd.Wait() // it was killed
		_ = in.Close()
	}
	for late := time.Now().Add(topology.Patience); time.Now().Before(late); time.Sleep(20 * time.Millisecond) {
		if pid := descendant(cmd.Process.Pid, "linecrypt"); pid != 0 {
			time.Sleep(2 * turn)
			freeze(pid)()
			return pid, end, nil
		}
	}
	end()
	return 0, nil, fmt.Errorf("it does not start: %s", cmd.Stdout)
}

// openPage takes in what the page of a browser does.
func (b *bed) openPage() (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return b.top.A.Dial(ctx, address)
	}}}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/events", nil)
	if err == nil {
		var answer *http.Response
		if answer, err = client.Do(ask); err == nil {
			if answer.StatusCode != http.StatusOK {
				err = errors.New(answer.Status)
			}
			go func() {
				defer answer.Body.Close()
				_, _ = io.Copy(io.Discard, answer.Body)
			}()
		}
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return cancel, nil
}

// descendant returns the process of a program among those that a process started, 0 for none.
func descendant(pid int, program string) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, word := range strings.Fields(string(text)) {
		child, _ := strconv.Atoi(word)
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", child)); err == nil && filepath.Base(exe) == program {
			return child
		}
		if found := descendant(child, program); found != 0 {
			return found
		}
	}
	return 0
}

// cpuTime is how much of a core a process has used.
func cpuTime(pid int) time.Duration {
	const tick = time.Second / 100 // USER_HZ
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * tick
}
