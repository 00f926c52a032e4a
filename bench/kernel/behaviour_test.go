package kernel

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/pattern"
	"linecrypt/bench/topology"
)

// TestConnectionsThroughBothGateways runs what applications do with connections over every kind of port, with one worker and,
// with two: ports that the kernel spreads connections over, and ports with one queue, at which the workers take turns. All of it must be encrypted on the wire, and every byte must arrive.
func TestConnectionsThroughBothGateways(t *testing.T) {
	for _, c := range []struct {
		kind    topology.PortKind
		workers int
	}{{topology.AFXDP, 1}, {topology.AFPacket, 1}, {topology.Packet, 1}, {topology.Packet, 2}, {topology.AFXDP, 2}, {topology.XDP, 1}} {
		name := string(c.kind)
		if c.workers > 1 {
			name = fmt.Sprintf("%s with %d workers", c.kind, c.workers)
		}
		t.Run(name, func(t *testing.T) {
			b := gateways(t, c.kind, fmt.Sprintf("workers.count=%d", c.workers))
			for _, f := range families {
				t.Run(string(f), func(t *testing.T) {
					b := b.in(t)
					t.Run("BothListTheSameSession", func(t *testing.T) { b.in(t).sameSession(f) })
					t.Run("OneByteWrites", func(t *testing.T) { b.in(t).oneByteWrites(f) })
					t.Run("HalfClose", func(t *testing.T) { b.in(t).halfClose(f) })
					t.Run("Reset", func(t *testing.T) { b.in(t).reset(f) })
					t.Run("LargeTransferEachWayAtOnce", func(t *testing.T) { b.in(t).large(f) })
				})
			}
			t.Run("ThousandConnections", func(t *testing.T) { b.in(t).thousand() })
			t.Run("EveryWorkerHadSome", func(t *testing.T) { b.in(t).everyWorker(c.workers) })
		})
	}
}

// in is the bed for a subtest, which fails for itself.
func (b *bed) in(t *testing.T) *bed {
	sub := *b
	sub.t = t
	t.Cleanup(func() { b.capture = sub.capture })
	return &sub
}

// everyWorker fails unless each of a gateway's workers had packets.
func (b *bed) everyWorker(n int) {
	for _, g := range []*topology.Gateway{b.a, b.b} {
		st, err := g.Status()
		if err != nil {
			b.t.Fatal(err)
		}
		if len(st.Cores) != n {
			b.t.Fatalf("gateway %s has %d workers, not %d", g.Side, len(st.Cores), n)
		}
		for _, core := range st.Cores {
			if core.RxPackets < 1000 {
				b.t.Errorf("gateway %s: worker %d had %d packets of a thousand connections", g.Side, core.Worker, core.RxPackets)
			}
		}
	}
}

func (b *bed) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Error(err)
	}
}

func (b *bed) sameSession(f family) {
	client, srv := b.mustConnect(f)
	// Before the application has sent a byte the connection has its session.
	first := b.wantSameSession(client)
	const n = 300_000
	b.check(exchange(client, srv, n, n, false))
	s := b.wantSameSession(client)
	if s.SessionID != first.SessionID || s.Role != "A" || s.Sealed.Bytes != n || s.Opened.Bytes != n {
		b.t.Errorf("lists %+v", s)
	}
	b.check(exchange(client, srv, 1000, 1000, true))
	b.wantEncrypted(2 * n)
}

func (b *bed) oneByteWrites(f family) {
	client, srv := b.mustConnect(f)
	const n = 1500
	for _, c := range []*net.TCPConn{client, srv} {
		b.check(c.SetNoDelay(true))
	}
	upStream, downStream := streams.Add(1), streams.Add(1)
	var errs [4]error
	var wg sync.WaitGroup
	for i, f := range []func() error{
		func() error { return dribble(client, upStream, n) },
		func() error { return dribble(srv, downStream, n) },
		func() error { return receive(srv, upStream, n, false) },
		func() error { return receive(client, downStream, n, false) },
	} {
		wg.Go(func() { errs[i] = f() })
	}
	wg.Wait()
	b.check(errors.Join(errs[:]...))
	b.wantEncrypted(2 * n)
}

func (b *bed) halfClose(f family) {
	const n = 1_000_000
	for _, clientFirst := range []bool{true, false} {
		first, second := b.mustConnect(f)
		if !clientFirst {
			first, second = second, first
		}
		stream, sent := send(first, n, true)
		b.check(receive(second, stream, n, true))
		b.check(<-sent)
		// The other direction goes on after the end of the first.
		stream, sent = send(second, n, true)
		b.check(receive(first, stream, n, true))
		b.check(<-sent)
	}
	b.wantEncrypted(4 * n)
}

func (b *bed) reset(f family) {
	const n = 100_000
	for _, clientResets := range []bool{true, false} {
		first, second := b.mustConnect(f)
		if !clientResets {
			first, second = second, first
		}
		stream, sent := send(first, n, false)
		b.check(receive(second, stream, n, false))
		b.check(<-sent)
		b.check(first.SetLinger(0))
		b.check(first.Close())
		// Of a reset nothing else must be made, least of all the end of the stream.
		if _, err := second.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			b.t.Errorf("client resets %t: the other end reads %v", clientResets, err)
		}
	}
}

func (b *bed) large(f family) {
	const n = 24_000_000
	client, srv := b.mustConnect(f)
	b.wire()
	b.check(exchange(client, srv, n, n, true))
	if w := b.wire(); w.Plaintext != 0 || w.Payload < n {
		b.t.Errorf("on the wire: %+v", w)
	}
}

// thousand opens a thousand connections at the same time, uses them all at once when all of them are open, and closes them.
func (b *bed) thousand() {
	const connections = 1000
	b.wire()
	pairs := make([]pair, connections)
	started := time.Now()
	b.all(connections, func(i int) (err error) {
		pairs[i].client, pairs[i].srv, err = b.connect(families[i%2])
		return err
	})
	b.t.Logf("%d connections open after %v", connections, time.Since(started).Round(time.Millisecond))
	for _, g := range []*topology.Gateway{b.a, b.b} {
		list, err := g.Sessions()
		b.check(err)
		if len(list) < connections {
			b.t.Errorf("gateway %s lists %d sessions", g.Side, len(list))
		}
	}
	b.all(connections, func(i int) error { return pairs[i].use(i) })
	b.t.Logf("all used and closed after %v", time.Since(started).Round(time.Millisecond))
	w := b.wire()
	if w.Plaintext != 0 || w.SYN < connections || w.SYNWithENO != w.SYN || w.SYNACKWithENO != w.SYNACK {
		b.t.Errorf("on the wire: %+v", w)
	}
}

// all runs f n times concurrently and fails with the first few errors.
func (b *bed) all(n int, f func(i int) error) {
	b.t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	failed := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(failed) > 0 {
		b.t.Fatalf("%d of %d failed, the first ones: %v", len(failed), n, errors.Join(failed[:min(5, len(failed))]...))
	}
}

// pair is both ends of a connection.
type pair struct{ client, srv *net.TCPConn }

// use sends a little data both ways and ends the connection in one of the ways there are.
func (p *pair) use(i int) error {
	defer p.client.Close()
	defer p.srv.Close()
	if err := exchange(p.client, p.srv, rand.Int64N(20_000), rand.Int64N(20_000), i%3 != 0); err != nil {
		return fmt.Errorf("connection %d: %w", i, err)
	}
	if i%5 == 0 {
		return p.client.SetLinger(0)
	}
	return nil
}

// dribble sends n bytes in as many writes.
func dribble(c *net.TCPConn, stream uint32, n int) error {
	for i := range n {
		var b [1]byte
		pattern.Fill(b[:], stream, int64(i))
		if _, err := c.Write(b[:]); err != nil {
			return fmt.Errorf("byte %d of stream %d: %w", i, stream, err)
		}
	}
	return nil
}
