package kernel

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/testenv"
	"linecrypt/bench/topology"
)

// behindClient returns a namespace with an interface that the client's machine has made for it, by ip's words for that behind `ip link add`.
func (b *bed) behindClient(addr string, how ...string) topology.NetNS {
	b.t.Helper()
	ns := topology.NetNS(testenv.NewNetNS(b.t))
	_, err := b.top.Client.Run("ip", append([]string{"link", "add"}, how...)...)
	b.check(err)
	_, err = b.top.Client.Run("ip", "link", "set", "moved0", "netns", string(ns))
	b.check(err)
	for _, args := range [][]string{{"addr", "add", addr, "dev", "moved0"}, {"link", "set", "moved0", "up"}} {
		_, err := ns.Run("ip", args...)
		b.check(err)
	}
	return ns
}

// connectFrom opens a connection from a namespace to the server, which sees it come from an address, and returns both ends.
func (b *bed) connectFrom(ns topology.NetNS, seen string) (client, srv *net.TCPConn) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s := b.servers[ipv4]
	client, err := ns.Dial(ctx, s.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { client.Close() })
	near := &net.TCPAddr{IP: net.ParseIP(seen), Port: client.LocalAddr().(*net.TCPAddr).Port}
	select {
	case srv = <-s.slot(near):
	case <-ctx.Done():
		b.t.Fatalf("the server does not see a connection from %v", near)
	}
	b.t.Cleanup(func() { srv.Close() })
	for _, c := range []*net.TCPConn{client, srv} {
		b.check(c.SetDeadline(time.Now().Add(patience)))
	}
	return client, srv
}

// A macvlan's answers come for its own Ethernet address, past the programs of the interface below: what it sends is to go past them too.
func TestHostLeavesWhatStandsAboveItsInterfaceAlone(t *testing.T) {
	b := cableOf(t)
	const addr = "10.99.0.77"
	above := b.behindClient(addr+"/24", "link", topology.Host, "name", "moved0", "type", "macvlan", "mode", "bridge")
	var err error
	if b.a, err = b.top.StartHost(topology.SideA, "policy=require"); err != nil {
		t.Fatal(err)
	}
	works := func(when string) {
		t.Helper()
		client, srv := b.connectFrom(above, addr)
		if err := exchange(client, srv, 100_000, 100_000, false); err != nil {
			t.Errorf("a container's connection by a macvlan, %s: %v", when, err)
		}
	}
	works("beside a host")
	b.wire()
	b.a.KillAll()
	works("behind one that was killed")
	b.wire()
	b.wantClosed()

	// With another Ethernet address the interface is no less the machine's own.
	_, err = b.top.Client.Run("ip", "link", "set", topology.Host, "address", "02:00:00:00:00:77")
	b.check(err)
	b.wantClosed()
	_, err = b.a.Command("stop")
	b.check(err)
	b.a = nil
}

func TestHostsConnectionsAreEncryptedWhenItsEthernetAddressHasChanged(t *testing.T) {
	b := protectedHosts(t)
	_, err := b.top.Client.Run("ip", "link", "set", topology.Host, "address", "02:00:00:00:00:77")
	b.check(err)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		client, srv := b.mustConnect(ipv4)
		b.check(exchange(client, srv, 10_000, 10_000, false))
		if _, ok := b.session(b.a, client); ok {
			b.wantSameSession(client)
			return
		}
		if time.Now().After(end) {
			t.Fatal("the machine's connections stay in the clear")
		}
	}
}

// Nobody outside can abort the connections of those that a machine lends its address to: what they say goes nowhere when the gateway is killed.
func TestNothingOfWhatAHostTranslatesAddressesForIsInTheClearWhenItIsKilled(t *testing.T) {
	needTool(t, "nft")
	for name, kill := range map[string]func(*topology.Gateway) error{
		"data plane": (*topology.Gateway).KillDataPlane,
		"supervisor": func(g *topology.Gateway) error {
			defer g.Ended()
			return syscall.Kill(g.Supervisor(), syscall.SIGKILL)
		},
		"all": func(g *topology.Gateway) error { g.KillAll(); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			b := cableOf(t)
			const addr, gateway = "10.98.0.2", "10.98.0.1"
			behind := b.behindClient(addr+"/24", "lender0", "type", "veth", "peer", "name", "moved0")
			_, err := behind.Run("ip", "route", "add", "default", "via", gateway, "dev", "moved0", "onlink")
			b.check(err)
			for _, args := range [][]string{
				{"ip", "addr", "add", gateway + "/24", "dev", "lender0"},
				{"ip", "link", "set", "lender0", "up"},
				{"sysctl", "-q", "-w", "net.ipv4.ip_forward=1"},
				{"nft", "add table ip t"},
				{"nft", "add chain ip t out { type nat hook postrouting priority srcnat; }"},
				{"nft", fmt.Sprintf("add rule ip t out oifname %s masquerade", topology.Host)},
			} {
				_, err := b.top.Client.Run(args[0], args[1:]...)
				b.check(err)
			}
			b.startHosts()
			b.wire()
			client, srv := b.connectFrom(behind, topology.Client4)
			b.check(exchange(client, srv, 100_000, 100_000, false))
			time.Sleep(2500 * time.Millisecond) // what has no socket here is looked for every second
			b.check(exchange(client, srv, 10_000, 10_000, false))
			b.wantEncrypted(220_000)
			b.check(kill(b.a))
			var reset error
			for range 5 {
				_, reset = client.Write(patternOf(20_000))
				time.Sleep(200 * time.Millisecond)
			}
			if w := b.wire(); w.Plaintext != 0 {
				t.Errorf("plaintext on the wire in %d packets: %s", w.Plaintext, w.First)
			}
			again, other := b.connectFrom(behind, topology.Client4)
			b.check(exchange(again, other, 10_000, 10_000, false))
			b.a, err = b.top.StartHost(topology.SideA)
			b.check(err)
			if reset == nil { // a data plane that was not killed has done so itself
				b.wantReset(topology.SideA, "client", client)
			}
		})
	}
}

func TestHostProtectsAnInterfaceThatGetsAnotherName(t *testing.T) {
	for name, end := range map[string]func(*topology.Gateway) error{
		"stopped": (*topology.Gateway).Stop,
		"killed": func(g *topology.Gateway) error {
			defer g.Ended()
			return syscall.Kill(g.Supervisor(), syscall.SIGKILL)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, before, _ := protected(t)
			rename := func(from, to string) {
				t.Helper()
				_, err := b.top.Client.Run("ip", "link", "set", "dev", from, "name", to)
				b.check(err)
			}
			rename(topology.Host, "renamed0")
			client, srv := b.mustConnect(ipv4)
			b.check(exchange(client, srv, 10_000, 10_000, false))
			b.wantSameSession(client)
			b.check(end(b.a))
			b.a = nil
			for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // the guardian may be at it still
				if out, err := b.top.Client.Run("tc", "filter", "show", "dev", "renamed0", "egress"); err == nil && !strings.Contains(out, "linecrypt-guard") {
					break
				}
			}
			rename("renamed0", topology.Host)
			b.wantMachine(before)
		})
	}
}
