package gvisor

import (
	"io"
	"sync"
	"testing"
	"time"

	"linecrypt/bench/hosts"
)

func TestControlPlaneMayStopAndComeBack(t *testing.T) {
	for name, pick := range map[string]func(*hosts.Network) *hosts.Gateway{
		"of gateway A": func(n *hosts.Network) *hosts.Gateway { return n.A },
		"of gateway B": func(n *hosts.Network) *hosts.Gateway { return n.B },
	} {
		t.Run(name, func(t *testing.T) {
			n := hosts.New(t, hosts.Options{})
			l := n.Listen(t, hosts.IPv4)
			old, oldServer := n.Connect(t, l)
			mustBeEncrypted(t, n, old)
			g := pick(n)
			g.StopControl()

			plain, plainServer := n.Connect(t, l)
			mustBePlain(t, n, plain)
			if err := exchange(plain, plainServer, 20_000, 20_000, 3000); err != nil {
				t.Fatalf("new connection without a control plane: %v", err)
			}

			g.StartControl(t)
			fresh, freshServer := n.Connect(t, l)
			mustBeEncrypted(t, n, fresh)
			if err := exchange(fresh, freshServer, 20_000, 20_000, 3000); err != nil {
				t.Fatalf("new connection with the new control plane: %v", err)
			}
			mustBeEncrypted(t, n, old)
			g.StopControl()
			if err := exchange(old, oldServer, 200_000, 200_000, 3000); err != nil {
				t.Fatalf("encrypted connection without a control plane: %v", err)
			}
		})
	}
}

func TestPolicyRequireRefusesNewConnectionsWithoutAControlPlane(t *testing.T) {
	n := hosts.New(t, hosts.Options{A: hosts.Settings{"policy": "require"}})
	l := n.Listen(t, hosts.IPv4)
	old, oldServer := n.Connect(t, l)
	mustBeEncrypted(t, n, old)
	n.A.StopControl()
	if c, err := dial(n, l); err == nil {
		c.Close()
		t.Fatal("a new connection is made although nothing can encrypt it")
	}
	mustExchange(t, old, oldServer, 20_000, 20_000, 3000)
}

func TestControlPlaneRestartsUnderLoadLoseNoConnection(t *testing.T) {
	n := hosts.New(t, hosts.Options{Both: hosts.Settings{"handshake.retransmit": "200ms"}})
	l := n.Listen(t, hosts.IPv4)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = c.SetDeadline(time.Now().Add(hosts.Patience))
				_, _ = io.Copy(c, c)
				_ = c.CloseWrite()
			}()
		}
	}()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := roundTrip(n, l, uint32(10_000*w+i), 2000); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		for _, g := range []*hosts.Gateway{n.A, n.B} {
			time.Sleep(50 * time.Millisecond)
			g.StopControl()
			time.Sleep(20 * time.Millisecond)
			g.StartControl(t)
		}
	}
	close(stop)
	wg.Wait()
}
