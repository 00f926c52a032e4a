package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/bench/pattern"
	"linecrypt/ctrlplane/sessiontable"
)

func TestMain(m *testing.M) {
	// Workers hold their threads while they poll; on a small machine the hosts need threads to run on all the same.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 8))
	os.Exit(m.Run())
}

// Streams of package pattern, one for each direction.
const (
	up   = 100
	down = 200
)

// send writes the first size bytes of a stream in pieces of at most chunk bytes, then closes that direction.
func send(c *hosts.Conn, stream uint32, size int64, chunk int) error {
	r := &pattern.Reader{Stream: stream, Left: size}
	if _, err := io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{r}, make([]byte, chunk)); err != nil {
		return fmt.Errorf("send stream %d: %w", stream, err)
	}
	if err := c.CloseWrite(); err != nil {
		return fmt.Errorf("end stream %d: %w", stream, err)
	}
	return nil
}

// receive reads to the end of the stream and compares every byte.
func receive(c *hosts.Conn, stream uint32, size int64) error {
	v := &pattern.Verifier{Stream: stream}
	n, err := io.CopyBuffer(struct{ io.Writer }{v}, struct{ io.Reader }{c}, make([]byte, 64<<10))
	switch {
	case err != nil:
		return fmt.Errorf("receive stream %d behind %d bytes: %w", stream, n, err)
	case n != size:
		return fmt.Errorf("receive stream %d: it ends behind %d of %d bytes", stream, n, size)
	}
	return nil
}

// exchange sends both streams at once and verifies both.
func exchange(client, server *hosts.Conn, upBytes, downBytes int64, chunk int) error {
	deadline := time.Now().Add(hosts.Patience)
	for _, c := range []*hosts.Conn{client, server} {
		if err := c.SetDeadline(deadline); err != nil {
			return err
		}
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	wg.Go(func() { errs[0] = send(client, up, upBytes, chunk) })
	wg.Go(func() { errs[1] = receive(server, up, upBytes) })
	wg.Go(func() { errs[2] = send(server, down, downBytes, chunk) })
	wg.Go(func() { errs[3] = receive(client, down, downBytes) })
	wg.Wait()
	return errors.Join(errs...)
}

// mustExchange fails the test where exchange fails, and closes both ends.
func mustExchange(t *testing.T, client, server *hosts.Conn, upBytes, downBytes int64, chunk int) {
	t.Helper()
	if err := exchange(client, server, upBytes, downBytes, chunk); err != nil {
		t.Fatal(err)
	}
	client.Close()
	server.Close()
}

// sessions returns what both gateways publish about a connection; the test fails when one of them does not know it.
func sessions(t *testing.T, n *hosts.Network, client *hosts.Conn) (a, b sessiontable.Entry) {
	t.Helper()
	a, okA := n.A.Session(client.Local(), client.Remote())
	b, okB := n.B.Session(client.Remote(), client.Local())
	if !okA || !okB {
		t.Fatalf("connection is not encrypted: listed by gateway A %v, by gateway B %v", okA, okB)
	}
	return a, b
}

// mustBeEncrypted fails the test unless both gateways list the connection with one session ID.
func mustBeEncrypted(t *testing.T, n *hosts.Network, client *hosts.Conn) {
	t.Helper()
	a, b := sessions(t, n, client)
	if a.SessionID != b.SessionID {
		t.Fatalf("session IDs differ: %x and %x", a.SessionID, b.SessionID)
	}
}

// mustBePlain fails the test if a gateway lists the connection.
func mustBePlain(t *testing.T, n *hosts.Network, client *hosts.Conn) {
	t.Helper()
	if n.A != nil {
		if _, ok := n.A.Session(client.Local(), client.Remote()); ok {
			t.Fatal("gateway A lists a connection that should be plain")
		}
	}
	if n.B != nil {
		if _, ok := n.B.Session(client.Remote(), client.Local()); ok {
			t.Fatal("gateway B lists a connection that should be plain")
		}
	}
}

// wireWatch looks at all that passes on a link.
type wireWatch struct {
	mu       sync.Mutex
	plain    int // frames with plaintext of package pattern
	first    string
	segments []seen // of the handshakes
}

// seen is a segment of a handshake.
type seen struct {
	dir hosts.Direction
	syn bool
	ack bool
	eno bool
	mss []byte
	len int
}

// handshakeSegments is how many segments a wireWatch remembers.
const handshakeSegments = 64

func watch(l *hosts.Link) *wireWatch {
	w := &wireWatch{}
	l.Tap(w.see)
	return w
}

func (w *wireWatch) see(d hosts.Direction, frame []byte) {
	s, ok := hosts.Parse(frame)
	if !ok {
		return
	}
	run, plain := pattern.Find(frame)
	w.mu.Lock()
	defer w.mu.Unlock()
	if plain {
		if w.plain == 0 {
			w.first = fmt.Sprintf("%v %s: %+v", d, hosts.Describe(frame, len(frame)), run)
		}
		w.plain++
	}
	if len(w.segments) < handshakeSegments {
		_, eno := s.Option(hosts.KindENO)
		mss, _ := s.Option(hosts.KindMSS)
		w.segments = append(w.segments, seen{dir: d, syn: s.SYN(), ack: s.ACK(), eno: eno, mss: append([]byte(nil), mss.Data...), len: s.PayloadLen})
	}
}

// plaintext returns how many frames held plaintext, and the first of them.
func (w *wireWatch) plaintext() (int, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.plain, w.first
}

// find returns the first remembered segment that f accepts.
func (w *wireWatch) find(f func(s seen) bool) (seen, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.segments {
		if f(s) {
			return s, true
		}
	}
	return seen{}, false
}

// count returns how many remembered segments f accepts.
func (w *wireWatch) count(f func(s seen) bool) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, s := range w.segments {
		if f(s) {
			n++
		}
	}
	return n
}

// dial connects the client to a listener, and fails when nothing happens for long.
func dial(n *hosts.Network, l *hosts.Listener) (*hosts.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), hosts.Patience)
	defer cancel()
	return n.Client.Dial(ctx, l.Addr)
}
