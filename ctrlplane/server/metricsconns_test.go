package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

func TestConnectionsToTheAddressForMetricsHaveABound(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var held atomic.Int32
	release := make(chan struct{})
	defer close(release)
	go serveHTTP(ctx, l, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			held.Add(1)
			<-release
		}
	}), slog.New(slog.DiscardHandler))
	connect := func(network byte, says string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, network, 1)}}
		c, err := d.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, says); err != nil {
			t.Fatal(err)
		}
		return c
	}
	wantAnswer := func(network byte) {
		t.Helper()
		if b, err := io.ReadAll(connect(network, "GET / HTTP/1.0\r\n\r\n")); err != nil || len(b) == 0 {
			t.Errorf("%q, %v", b, err)
		}
	}
	first := connect(0, "")
	for range maxMetricsSource + 20 { // connections that say nothing keep nobody out, and have a bound
		connect(0, "")
	}
	wantAnswer(0)
	wantAnswer(1)
	if _, err := first.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a network has more connections than its share: %v", err)
	}
	const hold = "GET /hold HTTP/1.0\r\n\r\n"
	for range maxMetricsSource { // but those on which something is asked are not given up
		connect(0, hold)
	}
	eventually(t, "questions", func() bool { return held.Load() == maxMetricsSource })
	if _, err := connect(0, hold).Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a network asks on more connections than its share: %v", err)
	}
	wantAnswer(1)
	if n := held.Load(); n != maxMetricsSource {
		t.Errorf("%d questions of one network are held", n)
	}
}
