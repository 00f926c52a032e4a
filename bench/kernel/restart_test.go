package kernel

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/pattern"
	"linecrypt/bench/topology"
)

// TestControlPlaneKilledUnderLoad kills the control plane of one gateway and then of the other, while data flows both ways
// on several connections. These go on under their session IDs; new connections pass in the clear until the control plane is
// back, and are encrypted again from then on.
func TestControlPlaneKilledUnderLoad(t *testing.T) {
	for _, kind := range []topology.PortKind{topology.AFXDP, topology.Packet} {
		t.Run(string(kind), func(t *testing.T) {
			b := gateways(t, kind)
			loads := b.startLoads(4)
			for _, g := range []*topology.Gateway{b.a, b.b} {
				b.killControlPlane(g, loads)
			}
			for _, l := range loads {
				b.check(l.end())
			}
		})
	}
}

// load is a connection on which data flows both ways until it is ended.
type load struct {
	client, srv *net.TCPConn
	id          string // of the session
	stop        atomic.Bool
	moved       atomic.Int64
	errs        chan error
}

func (b *bed) startLoads(n int) []*load {
	b.t.Helper()
	var loads []*load
	for i := range n {
		l := &load{errs: make(chan error, 4)}
		l.client, l.srv = b.mustConnect(families[i%len(families)])
		// They live as long as the test, which takes its time on a busy machine.
		b.check(errors.Join(l.client.SetDeadline(time.Now().Add(5*patience)), l.srv.SetDeadline(time.Now().Add(5*patience))))
		up, down := streams.Add(1), streams.Add(1)
		go func() { l.errs <- l.write(l.client, up) }()
		go func() { l.errs <- l.write(l.srv, down) }()
		go func() { l.errs <- l.read(l.srv, up) }()
		go func() { l.errs <- l.read(l.client, down) }()
		l.id = b.wantSameSession(l.client).SessionID
		loads = append(loads, l)
	}
	return loads
}

// write sends a stream at a rate that leaves the machine room for everything else.
func (l *load) write(c *net.TCPConn, stream uint32) error {
	buf := make([]byte, 10_000)
	for offset := int64(0); !l.stop.Load(); offset += int64(len(buf)) {
		pattern.Fill(buf, stream, offset)
		if _, err := c.Write(buf); err != nil {
			return fmt.Errorf("write at byte %d: %w", offset, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return c.CloseWrite()
}

func (l *load) read(c *net.TCPConn, stream uint32) error {
	v := &pattern.Verifier{Stream: stream}
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		if _, err := v.Write(buf[:n]); err != nil {
			return err
		}
		l.moved.Add(int64(n))
		if err != nil && l.stop.Load() && err.Error() == "EOF" {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read at byte %d: %w", v.Offset, err)
		}
	}
}

func (l *load) end() error {
	l.stop.Store(true)
	var errs []error
	for range cap(l.errs) {
		errs = append(errs, <-l.errs)
	}
	return errors.Join(errs...)
}

// killControlPlane does so and watches what becomes of it.
func (b *bed) killControlPlane(g *topology.Gateway, loads []*load) {
	b.t.Helper()
	old := g.ControlPlane()
	if old == 0 {
		b.t.Fatalf("gateway %s has no control plane", g.Side)
	}
	b.wire()
	b.check(syscall.Kill(old, syscall.SIGKILL))
	killed := time.Now()
	// Until its heartbeat is missed, key exchanges begin and wait for the next control plane.
	time.Sleep(200 * time.Millisecond)
	client, srv := b.mustConnect(ipv4)
	b.t.Logf("gateway %s: connected in the clear %v after the kill", g.Side, time.Since(killed).Round(time.Millisecond))
	b.check(exchange(client, srv, 50_000, 50_000, false))
	if pid := g.ControlPlane(); pid != 0 {
		b.t.Errorf("gateway %s: the connection took until control plane %d was there", g.Side, pid)
	}
	if s, listed := b.session(g, client); listed {
		b.t.Errorf("gateway %s encrypts without a control plane: %+v", g.Side, s)
	}
	if w := b.wire(); w.Plaintext == 0 {
		b.t.Errorf("the connection meanwhile was not in the clear: %+v", w)
	}
	b.wantProgress(loads)
	b.awaitControlPlane(g, old)
	b.t.Logf("gateway %s: control plane back %v after the kill", g.Side, time.Since(killed).Round(time.Millisecond))
	b.awaitEncryption(g)
	b.wantProgress(loads)
}

// awaitEncryption opens connections until one is encrypted: the new control plane runs a little before it serves.
func (b *bed) awaitEncryption(g *topology.Gateway) {
	b.t.Helper()
	for start := time.Now(); time.Since(start) < patience; time.Sleep(50 * time.Millisecond) {
		client, srv := b.mustConnect(ipv4)
		b.check(exchange(client, srv, 50_000, 50_000, false))
		if _, listed := b.session(g, client); listed {
			b.wantSameSession(client)
			return
		}
	}
	b.t.Errorf("gateway %s: new connections are still in the clear after %v", g.Side, patience)
}

// wantProgress fails unless data still flows on all loads, under the same sessions.
func (b *bed) wantProgress(loads []*load) {
	b.t.Helper()
	for i, l := range loads {
		before := l.moved.Load()
		for start := time.Now(); l.moved.Load() < before+100_000; time.Sleep(5 * time.Millisecond) {
			if time.Since(start) > patience/2 {
				b.t.Fatalf("connection %d stands still after %d bytes", i, before)
			}
		}
		if s := b.wantSameSession(l.client); s.SessionID != l.id {
			b.t.Errorf("connection %d: session %q became %q", i, l.id, s.SessionID)
		}
	}
}

// awaitControlPlane waits for the successor of a control plane that was killed to serve.
func (b *bed) awaitControlPlane(g *topology.Gateway, old int) {
	b.t.Helper()
	for start := time.Now(); time.Since(start) < patience; time.Sleep(20 * time.Millisecond) {
		st, err := g.Status()
		if err != nil {
			b.t.Fatal(err)
		}
		if st.ControlPlane.Running && st.ControlPlane.PID != old {
			return
		}
	}
	b.t.Fatalf("gateway %s: no new control plane after %v", g.Side, patience)
}
