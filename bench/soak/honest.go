package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"linecrypt/bench/topology"
)

// echoPort is where the echo servers of both hosts listen.
const echoPort = 7001

// echo serves connections at addr in a namespace until it is closed: what comes goes back.
func echo(ns topology.NetNS, host string) (*net.TCPListener, error) {
	l, err := ns.Listen(net.JoinHostPort(host, fmt.Sprint(echoPort)))
	if err != nil {
		return nil, fmt.Errorf("echo server: %w", err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	return l, nil
}

// honest opens connections from one host to another at an even pace, and counts how many of them worked.
type honest struct {
	ns    topology.NetNS
	addr  string
	every time.Duration

	mu      sync.Mutex
	opened  int
	failed  int
	slowest time.Duration
	first   error
}

// run goes on until ctx is done, and until the last connection has ended.
func (h *honest) run(ctx context.Context) {
	var wg sync.WaitGroup
	tick := time.NewTicker(h.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			wg.Wait()
			return
		case <-tick.C:
			wg.Go(h.one)
		}
	}
}

// one opens a connection, sends something, has it back, and closes.
func (h *honest) one() {
	begin := time.Now()
	err := h.exchange()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opened++
	h.slowest = max(h.slowest, time.Since(begin))
	if err != nil {
		h.failed++
		if h.first == nil {
			h.first = err
		}
	}
}

func (h *honest) exchange() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := h.ns.Dial(ctx, h.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	out := bytes.Repeat([]byte("honest "), 200)
	if _, err := c.Write(out); err != nil {
		return err
	}
	in := make([]byte, len(out))
	if _, err := io.ReadFull(c, in); err != nil {
		return err
	}
	if !bytes.Equal(in, out) {
		return errors.New("other bytes came back")
	}
	return nil
}
