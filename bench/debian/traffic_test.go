package debian

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"linecrypt/bench/testenv"
)

func itoa(n int) string { return strconv.Itoa(n) }

// traffic is a client that sends to a server that answers with the same, over one connection after the other: it opens another one when
// the last one has ended.
type traffic struct {
	rounds, connections, wrong atomic.Int64
	last                       atomic.Int64 // when an answer came, in nanoseconds
	gap                        atomic.Int64 // the longest time between two
}

const server = "10.77.0.2:7777"

func startTraffic(t *testing.T, clientNS, serverNS string) *traffic {
	t.Helper()
	var l net.Listener
	testenv.InNetNS(t, serverNS, func() {
		var err error
		if l, err = net.Listen("tcp", server); err != nil {
			t.Error(err)
		}
	})
	if l == nil {
		t.FailNow()
	}
	f := &traffic{}
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
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
	})
	done.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			f.connection(t, clientNS)
			time.Sleep(20 * time.Millisecond)
		}
	})
	t.Cleanup(func() {
		close(stop)
		l.Close()
		done.Wait()
	})
	return f
}

// patience is how long an answer may take: a connection that is neither reset nor goes on counts as a gap, and as wrong.
const patience = 20 * time.Second

// connection lives until something ends it, or for 200 rounds.
func (f *traffic) connection(t *testing.T, ns string) {
	var c net.Conn
	var err error
	testenv.InNetNS(t, ns, func() { c, err = net.DialTimeout("tcp", server, 2*time.Second) })
	if err != nil {
		return
	}
	defer c.Close()
	f.connections.Add(1)
	sent, got := make([]byte, 4096), make([]byte, 4096)
	for i := range 200 {
		for j := range sent {
			sent[j] = byte(i + j*7)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(sent); err != nil {
			return
		}
		if _, err := io.ReadFull(c, got); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				f.wrong.Add(1)
			}
			return
		}
		if !bytes.Equal(sent, got) {
			f.wrong.Add(1)
		}
		now := time.Now().UnixNano()
		if last := f.last.Swap(now); last != 0 && now-last > f.gap.Load() {
			f.gap.Store(now - last)
		}
		f.rounds.Add(1)
		time.Sleep(5 * time.Millisecond)
	}
}

// flows waits until connections made from now on carry data.
func (f *traffic) flows(t *testing.T) {
	t.Helper()
	n, rounds := f.connections.Load(), f.rounds.Load()
	await(t, "traffic flows", func() bool { return f.connections.Load() > n && f.rounds.Load() > rounds+20 })
}
