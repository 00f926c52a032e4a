package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/foreign"
	"linecrypt/bench/pattern"
	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/tcpcrypt"
)

// foreignAddr is an address that no kernel owns.
const (
	foreignAddr = "10.99.0.77"
	foreignMAC  = "02:00:00:00:00:77"
)

// foreignBed has a gateway at one end only, and at the other the foreign endpoint.
type foreignBed struct {
	*bed
	e *foreign.Endpoint
	// role is the endpoint's: as A it opens connections to the server, as B it takes the client's.
	role string
	port uint16
}

func newForeignBed(t *testing.T, role string) *foreignBed {
	t.Helper()
	b := newBed(t)
	fb := &foreignBed{bed: b, role: role, port: 20000}
	host, there, addr := b.top.Client, b.top.Server, topology.Client4
	if role == "A" {
		host, there, addr = b.top.Server, b.top.Client, topology.Server4
		b.startB(topology.Packet)
		b.check(b.top.Plain(topology.SideA))
	} else {
		b.startA(topology.Packet)
		b.check(b.top.Plain(topology.SideB))
	}
	if _, err := host.Run("ip", "neigh", "replace", foreignAddr, "lladdr", foreignMAC, "dev", topology.Host); err != nil {
		t.Fatal(err)
	}
	fb.e = &foreign.Endpoint{Addr: netip.MustParseAddr(foreignAddr), Peer: netip.MustParseAddr(addr)}
	fb.e.MAC, _ = net.ParseMAC(foreignMAC)
	err := host.Do(func() error {
		dev, err := net.InterfaceByName(topology.Host)
		if err == nil {
			fb.e.PeerMAC = dev.HardwareAddr
		}
		return err
	})
	if err == nil {
		err = there.Do(func() error {
			dev, err := net.InterfaceByName(topology.Host)
			if err != nil {
				return err
			}
			return fb.e.Open(dev.Index)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.check(fb.e.Close()) })
	return fb
}

// open makes a connection between the endpoint and the host behind the gateway.
func (b *foreignBed) open(ctx context.Context, cfg foreign.Config) (*foreign.Conn, *net.TCPConn) {
	b.t.Helper()
	b.port++
	if cfg.TEP == 0 {
		cfg.TEP, cfg.AEAD = tcpcrypt.ECDHECurve25519, tcpcrypt.AES128GCM
	}
	if cfg.Cut == nil {
		cfg.Cut = segments(1460)
	}
	var host *net.TCPConn
	hosts := make(chan error, 1)
	var c *foreign.Conn
	var err error
	if b.role == "A" {
		go func() { hosts <- b.accepted(ctx, &host) }()
		c, err = b.e.Dial(ctx, b.port, port, cfg)
	} else {
		go func() {
			var err error
			host, err = b.top.Client.Dial(ctx, fmt.Sprintf("%s:%d", foreignAddr, b.port))
			hosts <- err
		}()
		c, err = b.e.Listen(ctx, b.port, cfg)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	if err := <-hosts; err != nil {
		b.t.Fatal(err)
	}
	b.check(host.SetDeadline(time.Now().Add(patience)))
	b.t.Cleanup(func() { host.Close() })
	return c, host
}

func (b *foreignBed) accepted(ctx context.Context, host **net.TCPConn) error {
	client := &net.TCPAddr{IP: net.ParseIP(foreignAddr), Port: int(b.port)}
	select {
	case *host = <-b.servers[ipv4].slot(client):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// segments returns a cut into pieces of n bytes.
func segments(n int) func() int { return func() int { return n } }

// anyLength returns a cut into pieces of random lengths.
func anyLength(r *rand.Rand) func() int { return func() int { return 1 + r.IntN(1460) } }

// talk is what the endpoint sends: frames with these sizes of data, altered by alter, in segments that cut yields.
type talk struct {
	sizes []int
	cut   func() int
	alter func(i int, f *tcpcrypt.Frame)
}

// TestForeignEndpoint has an implementation of the tests' own at the far end, in either role.
func TestForeignEndpoint(t *testing.T) {
	random := rand.New(rand.NewPCG(8547, 8548))
	anySize := func(n int) (sizes []int) {
		for range n {
			sizes = append(sizes, random.IntN(tcpcrypt.MaxData+1))
		}
		return sizes
	}
	small := func(n, most int) (sizes []int) {
		for range n {
			sizes = append(sizes, random.IntN(most+1))
		}
		return sizes
	}
	talks := []struct {
		name string
		talk
	}{
		{"FramesOfAnySizeInSegmentsOfAnySize", talk{sizes: anySize(30), cut: anyLength(random)}},
		{"FramesOfAnySizeInFullSegments", talk{sizes: anySize(30), cut: segments(1460)}},
		{"LargestFrames", talk{sizes: []int{tcpcrypt.MaxData, tcpcrypt.MaxData, 0, tcpcrypt.MaxData}, cut: segments(1460)}},
		{"SegmentsOfOneByte", talk{sizes: small(12, 80), cut: segments(1)}},
		{"ManyFramesInASegment", talk{sizes: small(2000, 40), cut: segments(1460)}},
		{"EmptyFrames", talk{sizes: append(make([]int, 100), 10), cut: segments(700)}},
		{"FramesThatEndAnywhere", talk{sizes: small(200, 3000), cut: anyLength(random)}},
		{"ReservedBits", talk{sizes: small(50, 3000), cut: segments(1460), alter: func(i int, f *tcpcrypt.Frame) {
			f.Cres, f.Fres = byte(i)<<1, byte(i)<<2
		}}},
		{"Rekeying", talk{sizes: small(100, 2000), cut: segments(1460), alter: func(i int, f *tcpcrypt.Frame) { f.Rekey = i == 30 }}},
	}
	for _, role := range []string{"A", "B"} {
		t.Run("AsHost"+role, func(t *testing.T) {
			b := newForeignBed(t, role)
			for _, tt := range talks {
				t.Run(tt.name, func(t *testing.T) { b.in(t).converse(tt.talk, foreign.Config{}) })
			}
			t.Run("WithoutWindowScale", func(t *testing.T) {
				b.in(t).converse(talks[0].talk, foreign.Config{NoScale: true})
			})
			t.Run("InitOverManySegments", func(t *testing.T) {
				b.in(t).converse(talk{sizes: []int{100}, cut: segments(1460)}, foreign.Config{Cut: segments(7)})
			})
			t.Run("InitWithBytesToIgnore", func(t *testing.T) {
				b.in(t).converse(talk{sizes: []int{100}, cut: segments(1460)}, foreign.Config{Tail: make([]byte, 3000)})
			})
			t.Run("EveryAlgorithm", func(t *testing.T) { b.in(t).algorithms() })
			t.Run("RekeyingOnOrder", func(t *testing.T) { b.in(t).rekeyed() })
			t.Run("FINpBeforeFIN", func(t *testing.T) { b.in(t).lateFIN() })
			t.Run("FINWithoutFINp", func(t *testing.T) { b.in(t).truncated() })
			t.Run("BadTag", func(t *testing.T) { b.in(t).forged() })
		})
	}
}

func (b *foreignBed) in(t *testing.T) *foreignBed {
	sub := *b
	sub.bed = b.bed.in(t)
	t.Cleanup(func() { b.port = sub.port })
	return &sub
}

func (b *foreignBed) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience/2)
}

// converse sends frames one way and a stream the other at the same time, and ends both directions in order.
func (b *foreignBed) converse(say talk, cfg foreign.Config) {
	b.t.Helper()
	ctx, cancel := b.context()
	defer cancel()
	c, host := b.open(ctx, cfg)
	defer b.e.Forget(c)
	stream, wire, total, err := frames(c, say)
	if err != nil {
		b.t.Fatal(err)
	}
	const answer = 200_000
	back, sent := send(host, answer, true)
	got := make(chan error, 1)
	go func() { got <- receive(host, stream, total, true) }()
	c.Queue(wire, say.cut)
	if err := c.End(ctx); err != nil {
		b.t.Errorf("send: %v", err)
	}
	b.check(<-got)
	b.check(collect(ctx, c, back, answer))
	b.check(<-sent)
}

// frames seals what is to be said, with FINp in the last frame.
func frames(c *foreign.Conn, say talk) (stream uint32, wire []byte, total int64, err error) {
	stream = streams.Add(1)
	for i, n := range say.sizes {
		f := tcpcrypt.Frame{Plaintext: tcpcrypt.Plaintext{Data: make([]byte, n), FIN: i == len(say.sizes)-1}}
		pattern.Fill(f.Data, stream, total)
		total += int64(n)
		if say.alter != nil {
			say.alter(i, &f)
		}
		b, err := c.Seal(f)
		if err != nil {
			return 0, nil, 0, err
		}
		wire = append(wire, b...)
	}
	return stream, wire, total, nil
}

// collect opens the frames that arrive and verifies their data, up to FINp and FIN.
func collect(ctx context.Context, c *foreign.Conn, stream uint32, total int64) error {
	v := &pattern.Verifier{Stream: stream}
	for last := false; !last || !c.Ended(); {
		list, err := c.Received()
		for _, f := range list {
			if last {
				return errors.New("a frame behind FINp")
			}
			if _, err := v.Write(f.Data); err != nil {
				return err
			}
			last = f.FIN
		}
		if err != nil {
			return err
		}
		if err := c.Wait(ctx); err != nil {
			return fmt.Errorf("%w after %d bytes, FINp %t, FIN %t", err, v.Offset, last, c.Ended())
		}
	}
	if v.Offset != total {
		return fmt.Errorf("%d of %d bytes", v.Offset, total)
	}
	return nil
}

func (b *foreignBed) algorithms() {
	for _, tep := range tcpcrypt.TEPs() {
		for _, aead := range tcpcrypt.AEADs() {
			b.converse(talk{sizes: []int{1, 20_000}, cut: segments(1000)}, foreign.Config{TEP: tep, AEAD: aead})
			if b.a != nil {
				b.flush(b.a, foreignAddr) // the next one is another far end: an offer to resume has no room for all key agreements
			}
		}
	}
}

// rekeyed has the gateway change keys while nobody has anything to say. The endpoint follows, and both streams go on under the new keys.
func (b *foreignBed) rekeyed() {
	ctx, cancel := b.context()
	defer cancel()
	c, host := b.open(ctx, foreign.Config{})
	defer b.e.Forget(c)
	g := b.a
	if b.role == "A" {
		g = b.b
	}
	for gen := range uint32(3) {
		ordered := make(chan error, 1)
		go func() {
			r, err := g.Rekey(host.LocalAddr().String(), host.RemoteAddr().String())
			if err == nil && (len(r.Connections) != 1 || r.Connections[0].Sealed != gen+1 || r.Connections[0].Opened != gen+1) {
				err = fmt.Errorf("rekeying %d: %+v", gen+1, r)
			}
			ordered <- err
		}()
		for followed := false; !followed; {
			list, err := c.Received()
			b.check(err)
			for _, f := range list {
				if len(f.Data) > 0 || !f.Rekey {
					b.t.Errorf("a frame of %d bytes, rekey %v", len(f.Data), f.Rekey)
				}
			}
			if followed, err = c.Follow(segments(1460)); err != nil {
				b.t.Fatal(err)
			}
			wait := c.Wait
			if followed {
				wait = c.Flush
			}
			if err := wait(ctx); err != nil {
				b.t.Fatal(err)
			}
		}
		b.check(<-ordered)
	}
	stream, wire, total, err := frames(c, talk{sizes: []int{5000, 100}})
	b.check(err)
	back, sent := send(host, 50_000, true)
	c.Queue(wire, segments(1460))
	b.check(c.End(ctx))
	b.check(receive(host, stream, total, true))
	b.check(collect(ctx, c, back, 50_000))
	b.check(<-sent)
}

// lateFIN sends FINp alone: the host reads the end of the stream, whenever the FIN segment comes.
func (b *foreignBed) lateFIN() {
	ctx, cancel := b.context()
	defer cancel()
	c, host := b.open(ctx, foreign.Config{})
	defer b.e.Forget(c)
	stream, wire, total, err := frames(c, talk{sizes: []int{5000}})
	b.check(err)
	c.Queue(wire, segments(1460))
	b.check(c.Flush(ctx))
	b.check(receive(host, stream, total, true))
	b.check(c.End(ctx))
	back, sent := send(host, 1000, true)
	b.check(collect(ctx, c, back, 1000))
	b.check(<-sent)
}

// truncated ends the TCP connection without the authenticated end: the host must not take it for the end of the stream.
func (b *foreignBed) truncated() {
	ctx, cancel := b.context()
	defer cancel()
	c, host := b.open(ctx, foreign.Config{})
	defer b.e.Forget(c)
	stream := streams.Add(1)
	f := tcpcrypt.Frame{Plaintext: tcpcrypt.Plaintext{Data: make([]byte, 3000)}}
	pattern.Fill(f.Data, stream, 0)
	wire, err := c.Seal(f)
	b.check(err)
	c.Queue(wire, segments(1460))
	b.check(c.Flush(ctx))
	b.check(receive(host, stream, 3000, false))
	if err := c.End(ctx); err != nil && !errors.Is(err, foreign.ErrReset) {
		b.t.Errorf("end: %v", err)
	}
	b.wantReset(host)
	b.check(c.WaitReset(ctx))
}

// forged sends a frame whose tag is wrong, and does not get tired of it: nothing of it may reach the host.
func (b *foreignBed) forged() {
	ctx, cancel := b.context()
	defer cancel()
	c, host := b.open(ctx, foreign.Config{})
	defer b.e.Forget(c)
	wire, err := c.Seal(tcpcrypt.Frame{Plaintext: tcpcrypt.Plaintext{Data: make([]byte, 1000)}})
	b.check(err)
	wire[len(wire)-1] ^= 1
	c.Queue(wire, segments(1460))
	if err := c.Flush(ctx); err != nil && !errors.Is(err, foreign.ErrReset) {
		b.t.Errorf("send: %v", err)
	}
	b.wantReset(host)
	b.check(c.WaitReset(ctx))
}

// wantReset fails unless the connection is reset before another byte or the end of the stream is read.
func (b *foreignBed) wantReset(host *net.TCPConn) {
	b.t.Helper()
	n, err := io.ReadFull(host, make([]byte, 1))
	if n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		b.t.Errorf("the host reads %d bytes, %v", n, err)
	}
}
