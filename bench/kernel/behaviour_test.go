package kernel

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/pattern"
	"linecrypt/bench/topology"
)

// TestConnectionsThroughBothGateways runs what applications do with connections over every kind of port. All of it must be
// encrypted on the wire, and every byte must arrive.
func TestConnectionsThroughBothGateways(t *testing.T) {
	for _, kind := range []topology.PortKind{topology.AFXDP, topology.AFPacket, topology.Packet} {
		t.Run(string(kind), func(t *testing.T) {
			b := gateways(t, kind)
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

// thousand opens a thousand connections, a hundred at any time in the making, of which some are still open when all are.
func (b *bed) thousand() {
	const connections, atOnce = 1000, 100
	b.wire()
	slots := make(chan struct{}, atOnce)
	errs := make(chan error, connections)
	started := time.Now()
	for i := range connections {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			errs <- b.short(i)
		}()
	}
	var failed []error
	for range connections {
		if err := <-errs; err != nil {
			failed = append(failed, err)
		}
	}
	b.t.Logf("%d connections in %v", connections, time.Since(started).Round(time.Millisecond))
	if len(failed) > 0 {
		b.t.Errorf("%d connections failed, the first ones: %v", len(failed), errors.Join(failed[:min(5, len(failed))]...))
	}
	w := b.wire()
	if w.Plaintext != 0 || w.SYN < connections || w.SYNWithENO != w.SYN || w.SYNACKWithENO != w.SYNACK {
		b.t.Errorf("on the wire: %+v", w)
	}
}

// short is one connection with a little data, ended in one of the ways there are.
func (b *bed) short(i int) error {
	client, srv, err := b.connect(families[i%2])
	if err != nil {
		return fmt.Errorf("connection %d: %w", i, err)
	}
	defer client.Close()
	defer srv.Close()
	if err := exchange(client, srv, rand.Int64N(20_000), rand.Int64N(20_000), i%3 != 0); err != nil {
		return fmt.Errorf("connection %d: %w", i, err)
	}
	if i%5 == 0 {
		return client.SetLinger(0)
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
