package kernel

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"linecrypt/bench/foreign"
	"linecrypt/ctrlplane/tcpcrypt"
)

// TestForeignEndpointResumes has an implementation of RFC 8548 section 3.5 of the tests' own resume with a gateway, to which a kernel's
// hosts speak: with nonces of all lengths, the endpoint opening in role A, answering in role B, and each the other way round.
func TestForeignEndpointResumes(t *testing.T) {
	for _, role := range []string{"A", "B"} {
		t.Run("first session in role "+role, func(t *testing.T) {
			b := newForeignBed(t, role)
			ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
			defer cancel()
			c, host := b.open(ctx, foreign.Config{})
			b.talkBriefly(ctx, c, host, 1)
			ids := map[tcpcrypt.SessionID]bool{c.SessionID(): true}
			for i, nonce := range []int{8, 0, 3, 8} {
				chain := c.Chain()
				cfg := foreign.Config{TEP: tcpcrypt.ECDHECurve25519, AEAD: tcpcrypt.AES128GCM, Resume: chain, Nonce: nonce}
				if i%2 == 1 {
					b.role = map[string]string{"A": "B", "B": "A"}[role]
				} else {
					b.role = role
				}
				c, host = b.openAs(ctx, role, cfg)
				if !c.Resumed() || ids[c.SessionID()] {
					t.Fatalf("connection %d, role %s: resumed %v, ID %v", i, b.role, c.Resumed(), c.SessionID())
				}
				ids[c.SessionID()] = true
				b.talkBriefly(ctx, c, host, byte(i+2))
			}
			// A secret that was used is not known any more: the key exchange is fresh, in the same handshake.
			b.role = role
			if role == "A" {
				old := c.Chain()
				c, host = b.openAs(ctx, role, foreign.Config{TEP: tcpcrypt.ECDHECurve25519, AEAD: tcpcrypt.AES128GCM, Resume: old, Nonce: 8})
				b.talkBriefly(ctx, c, host, 9)
				c, host = b.openAs(ctx, role, foreign.Config{TEP: tcpcrypt.ECDHECurve25519, AEAD: tcpcrypt.AES128GCM, Resume: old, Nonce: 8})
				if c.Resumed() {
					t.Error("a secret is used twice")
				}
				b.talkBriefly(ctx, c, host, 10)
			}
		})
	}
}

// openAs opens a connection in the endpoint's present role, where its bed was made for another.
func (b *foreignBed) openAs(ctx context.Context, made string, cfg foreign.Config) (*foreign.Conn, *net.TCPConn) {
	b.t.Helper()
	if b.role == made {
		return b.open(ctx, cfg)
	}
	b.port++
	if cfg.Cut == nil {
		cfg.Cut = segments(1460)
	}
	var host *net.TCPConn
	hosts := make(chan error, 1)
	if made == "A" { // the server opens
		go func() {
			var err error
			host, err = b.top.Server.Dial(ctx, fmt.Sprintf("%s:%d", foreignAddr, b.port))
			hosts <- err
		}()
		c, err := b.e.Listen(ctx, b.port, cfg)
		if err == nil {
			err = <-hosts
		}
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { host.Close() })
		return c, host
	}
	l, err := b.top.Client.Listen(fmt.Sprintf("%s:%d", b.e.Peer, b.port))
	if err != nil {
		b.t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			host = conn.(*net.TCPConn)
		}
		hosts <- err
	}()
	c, err := b.e.Dial(ctx, b.port+1000, b.port, cfg)
	if err == nil {
		err = <-hosts
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { host.Close() })
	return c, host
}

// talkBriefly sends a little in both directions and compares it.
func (b *foreignBed) talkBriefly(ctx context.Context, c *foreign.Conn, host *net.TCPConn, mark byte) {
	b.t.Helper()
	b.check(host.SetDeadline(time.Now().Add(patience)))
	up, down := bytes.Repeat([]byte{mark, 'u'}, 700), bytes.Repeat([]byte{mark, 'd'}, 900)
	wire, err := c.Seal(tcpcrypt.Frame{Plaintext: tcpcrypt.Plaintext{Data: up}})
	b.check(err)
	c.Queue(wire, segments(1460))
	b.check(c.Flush(ctx))
	got := make([]byte, len(up))
	_, err = io.ReadFull(host, got)
	b.check(err)
	if !bytes.Equal(got, up) {
		b.t.Fatal("the host reads something else")
	}
	_, err = host.Write(down)
	b.check(err)
	var back []byte
	for len(back) < len(down) {
		frames, err := c.Received()
		b.check(err)
		for _, f := range frames {
			back = append(back, f.Data...)
		}
		if len(back) < len(down) {
			b.check(c.Wait(ctx))
		}
	}
	if !bytes.Equal(back, down) {
		b.t.Fatal("the endpoint reads something else")
	}
}
