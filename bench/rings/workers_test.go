//go:build dpdk && cgo

package rings

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/bench/pattern"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/dpdk"
	"linecrypt/dataplane/port/dpdk/rings"
)

const poolSize = 24576

// pool is DPDK's, one for the process as EAL is.
var pool = sync.OnceValues(func() (mbuf.Pool, error) {
	if _, err := dpdk.Init(dpdk.Options{Name: fmt.Sprintf("rings-%d", os.Getpid()), MemMB: dpdk.MemMB(poolSize, mbuf.DefaultDataRoom) + 64}); err != nil {
		return nil, err
	}
	return dpdk.NewPool("rings", poolSize, mbuf.DefaultDataRoom)
})

func TestTwoWorkersOverRingsOfDPDK(t *testing.T) { twoWorkers(t, "wire", false) }

// Each gateway's outside port is a device with one ring each way, at which two workers take turns; its inside port is one in memory of which
// the same is true.
func TestTwoWorkersOverOneRingOfDPDK(t *testing.T) { twoWorkers(t, "one", true) }

func twoWorkers(t *testing.T, name string, oneQueue bool) {
	pool, err := pool()
	if err != nil {
		t.Fatal(err)
	}
	var pair *rings.Pair
	t.Cleanup(func() { // behind the network's own
		if pair != nil {
			if oneQueue { // the gateways' spreaders have closed the ports
				pair.A, pair.B = nil, nil
			}
			if err := pair.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	n := hosts.New(t, hosts.Options{
		Both: hosts.Settings{"workers.count": "2"}, Pool: pool, OneQueue: oneQueue,
		Join: func(a, b []*mbuf.Cache) (port.Port, port.Port, error) {
			var err error
			pair, err = rings.Open(name, port.Config{Queues: len(a), Caches: a}, port.Config{Queues: len(b), Caches: b})
			if err != nil {
				return nil, nil, err
			}
			return newWire(pair.A, pool), newWire(pair.B, pool), nil
		},
	})
	const connections, size = 32, 1_000_000
	for _, f := range []hosts.Family{hosts.IPv4, hosts.IPv6} {
		l := n.Listen(t, f)
		var wg sync.WaitGroup
		for i := range connections {
			client, server := n.Connect(t, l)
			up, down := uint32(2*i), uint32(2*i+1)
			for _, end := range []*hosts.Conn{client, server} {
				if err := end.SetDeadline(time.Now().Add(hosts.Patience)); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { end.Close() })
			}
			wg.Go(func() { fail(t, carry(client, server, up, size)) })
			wg.Go(func() { fail(t, carry(server, client, down, size)) })
		}
		wg.Wait()
	}
	for _, g := range []*hosts.Gateway{n.A, n.B} {
		if done := g.Count(t, "handshakes_done"); done != 2*connections {
			t.Errorf("gateway %s: %d of %d connections were encrypted", g.Config.Name, done, 2*connections)
		}
		if bad := g.Count(t, "drop_ingress_auth"); bad != 0 {
			t.Errorf("gateway %s: %d frames failed their authentication on a wire that changes nothing", g.Config.Name, bad)
		}
		for i, frames := range g.Shares(t, "sealed_frames") {
			if frames == 0 {
				t.Errorf("gateway %s: worker %d had no connection", g.Config.Name, i)
			}
		}
	}
}

func fail(t *testing.T, err error) {
	if err != nil {
		t.Error(err)
	}
}

// carry sends a stream of bytes one way and verifies it.
func carry(from, to *hosts.Conn, stream uint32, size int64) error {
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(from, &pattern.Reader{Stream: stream, Left: size})
		sent <- errors.Join(err, from.CloseWrite())
	}()
	v := &pattern.Verifier{Stream: stream}
	n, err := io.Copy(v, to)
	if err == nil && n != size {
		err = fmt.Errorf("stream %d ended behind %d of %d bytes", stream, n, size)
	}
	return errors.Join(err, <-sent)
}
