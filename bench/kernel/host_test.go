package kernel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/pattern"
	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/shm"
)

// protectedHosts returns a bed whose two hosts protect themselves, with nothing but a cable between them.
func protectedHosts(t *testing.T, set ...string) *bed {
	t.Helper()
	b := cableOf(t)
	b.startHosts(set...)
	return b
}

// cableOf returns a bed of two hosts with all offloads on and bridges in the gateways' places.
func cableOf(t *testing.T) *bed {
	t.Helper()
	b := bedOf(t, topology.Options{Offloads: true})
	b.check(errors.Join(b.top.Plain(topology.SideA), b.top.Plain(topology.SideB)))
	return b
}

func (b *bed) startHosts(set ...string) {
	b.t.Helper()
	var err error
	if b.a, err = b.top.StartHost(topology.SideA, append([]string{insist}, set...)...); err != nil {
		b.t.Fatal(err)
	}
	if b.b, err = b.top.StartHost(topology.SideB, append([]string{insist}, set...)...); err != nil {
		b.t.Fatal(err)
	}
}

// runHosts is startHosts for hosts that are started in another way than most.
func (b *bed) runHosts(how topology.HostRun) {
	b.t.Helper()
	for _, at := range []struct {
		side topology.Side
		g    **topology.Gateway
	}{{topology.SideA, &b.a}, {topology.SideB, &b.b}} {
		how.Side = at.side
		var err error
		if *at.g, err = b.top.RunHost(how, insist); err != nil {
			b.t.Fatal(err)
		}
	}
}

// machine is what ip shows of the client's machine: interfaces, addresses, routes and classifiers.
func (b *bed) machine() string {
	b.t.Helper()
	var all strings.Builder
	for _, args := range [][]string{{"ip", "-o", "link"}, {"ip", "-o", "addr"}, {"ip", "route"}, {"ip", "-6", "route"}, {"tc", "qdisc"}, {"tc", "filter", "show", "dev", topology.Host, "egress"}} {
		text, err := b.top.Client.Run(args[0], args[1:]...)
		b.check(err)
		all.WriteString(text)
	}
	return all.String()
}

// wantMachine fails unless the client's machine is soon as it was: a second where it has the time.
func (b *bed) wantMachine(was string) {
	b.t.Helper()
	const limit = 5 * time.Second
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		late := time.Since(begin) > limit
		now := b.machine()
		if now == was {
			return
		}
		if late {
			b.t.Errorf("the machine's network was\n%sand is %v later\n%s", was, limit, now)
			return
		}
	}
}

func TestHostsProtectEveryConnectionAndChangeNothingElse(t *testing.T) {
	b := cableOf(t)
	before := b.machine()
	oldClient, oldServer := b.mustConnect(ipv4)
	b.check(exchange(oldClient, oldServer, 10_000, 10_000, false))
	b.wire()
	b.startHosts()
	for _, f := range families {
		for _, up := range []bool{true, false} {
			client, srv := b.mustConnect(f)
			sizes := map[bool][2]int64{true: {8 << 20, 1000}, false: {1000, 8 << 20}}[up]
			b.check(exchange(client, srv, sizes[0], sizes[1], false))
			b.wantSameSession(client)
		}
	}
	b.wantEncrypted(4 * (8 << 20))
	b.check(exchange(oldClient, oldServer, 10_000, 10_000, false))
	if list, err := b.a.Plain(); err != nil || len(list) != 0 {
		t.Errorf("the connection from before went through the gateway: %+v, %v", list, err)
	}
	b.check(b.a.Stop())
	b.wantMachine(before)
	b.check(exchange(oldClient, oldServer, 10_000, 10_000, false))
}

func TestProgramsOnProtectedHostsReadTheirSessionIDBySocketOptions(t *testing.T) {
	b := protectedHosts(t)
	for _, f := range families {
		p := b.probe(b.top.Client, nil, "probe.py", "connect", host(f), fmt.Sprint(port))
		said := p.report()
		sa, sb := b.only(b.a), b.only(b.b)
		if sa.SessionID == "" || sa.SessionID != sb.SessionID {
			t.Fatalf("%v: the hosts have %q and %q", f, sa.SessionID, sb.SessionID)
		}
		want(t, string(f), said, map[string]string{"session_id": sa.SessionID, "role": "1"})
		p.stdin.Close()
		b.eventuallyNoSession()
	}
}

// protected returns hosts on a cable in host mode, what machine said of the client's before that, and the client's end of a connection
// that is encrypted.
func protected(t *testing.T) (b *bed, before string, client *net.TCPConn) {
	t.Helper()
	b = cableOf(t)
	before = b.machine()
	b.startHosts()
	client, srv := b.mustConnect(ipv4)
	b.check(exchange(client, srv, 10_000, 10_000, false))
	b.wantSameSession(client)
	b.wire()
	return b, before, client
}

func TestNetworkIsAsBeforeWhenAProcessOfHostModeIsKilled(t *testing.T) {
	for name, kill := range map[string]func(*topology.Gateway) []int{
		"data plane": func(g *topology.Gateway) []int { return []int{g.DataPlane()} },
		"supervisor": func(g *topology.Gateway) []int { return []int{g.Supervisor()} },
		"all three":  func(g *topology.Gateway) []int { return []int{g.Supervisor(), g.ControlPlane(), g.DataPlane()} },
	} {
		t.Run(name, func(t *testing.T) {
			b, before, client := protected(t)
			pids := kill(b.a)
			for _, pid := range pids {
				b.check(syscall.Kill(pid, syscall.SIGKILL))
			}
			b.wantMachine(before)
			again, other := b.mustConnect(ipv4)
			b.check(exchange(again, other, 10_000, 10_000, false))
			b.wantOver(client)
			b.a.Ended()
			b.a = nil
		})
	}
}

// A worker that hangs passes nothing either, while its process goes on saying that it lives.
func TestNetworkIsAsBeforeWhenTheDataPlaneOfHostModeStandsStill(t *testing.T) {
	for name, stop := range map[string]func(t *testing.T, pid int) (released <-chan struct{}){
		"data plane": func(t *testing.T, pid int) <-chan struct{} {
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			released := make(chan struct{})
			close(released) // it goes with what kills it
			return released
		},
		"one worker of it": func(t *testing.T, pid int) <-chan struct{} { return stopThread(t, pid, shm.WorkerThread(0)) },
	} {
		t.Run(name, func(t *testing.T) {
			b, before, client := protected(t)
			released := stop(t, b.a.DataPlane())
			start := time.Now()
			b.wantOver(client)
			b.wantMachine(before)
			t.Logf("as before after %v", time.Since(start))
			again, other := b.mustConnect(ipv4)
			b.check(exchange(again, other, 10_000, 10_000, false))
			b.a.Ended()
			<-released
			if !strings.Contains(b.a.Stderr(), "does not answer any more") {
				t.Errorf("nothing is said of it:\n%s", b.a.Stderr())
			}
			b.a = nil
		})
	}
}

// stopThread stops a thread of a process, and no other one, as long as that lives. Released is closed after that.
func stopThread(t *testing.T, pid int, name string) (released chan struct{}) {
	t.Helper()
	stopped := make(chan error)
	released = make(chan struct{})
	go func() {
		defer close(released)
		runtime.LockOSThread() // it is this thread that traces
		defer runtime.UnlockOSThread()
		names, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/comm", pid))
		for _, path := range names {
			if text, _ := os.ReadFile(path); strings.TrimSpace(string(text)) != name {
				continue
			}
			id, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err == nil {
				err = syscall.PtraceAttach(id)
			}
			if stopped <- err; err != nil {
				return
			}
			for err == nil { // until it has gone with its process
				var how syscall.WaitStatus
				if _, err = syscall.Wait4(id, &how, syscall.WALL, nil); err == nil && (how.Exited() || how.Signaled()) {
					return
				}
			}
			return
		}
		stopped <- fmt.Errorf("process %d has no thread %q", pid, name)
	}()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	return released
}

func TestHostThatRequiresEncryptionIsClosedWhenItsDataPlaneStandsStill(t *testing.T) {
	b := cableOf(t)
	b.startHosts("policy=require")
	client, srv := b.mustConnect(ipv4)
	b.check(exchange(client, srv, 10_000, 10_000, false))
	b.wire()
	b.check(syscall.Kill(b.a.DataPlane(), syscall.SIGSTOP))
	b.a.Ended()
	b.wantClosed()
	b.a = nil
}

// wantClosed fails if a new connection is let through, or anything of TCP leaves.
func (b *bed) wantClosed() {
	b.t.Helper()
	err := b.top.Client.Do(func() error {
		c, err := net.DialTimeout("tcp", b.servers[ipv4].addr, 2*time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
	if err == nil {
		b.t.Error("a new connection was let through")
	}
	if w := b.wire(); w.SYN+w.Payload != 0 {
		b.t.Errorf("TCP left the machine: %+v", w)
	}
}

// When every process is killed in one moment nobody is left to end the connections: the guard in the kernel keeps what their programs say from
// leaving, and what their far ends say from being read as data.
func TestNothingOfEncryptedConnectionsIsInTheClearWhenAllProcessesOfAHostAreKilled(t *testing.T) {
	for _, side := range []topology.Side{topology.SideA, topology.SideB} {
		t.Run("side "+side.String(), func(t *testing.T) {
			b := cableOf(t)
			before := b.machine()
			oldClient, oldServer := b.mustConnect(ipv4)
			b.startHosts()
			type pair struct{ here, there *net.TCPConn }
			var all []pair
			for _, f := range []family{ipv4, ipv4, ipv6} { // the second one resumes the session
				client, srv := b.mustConnect(f)
				b.check(exchange(client, srv, 10_000, 10_000, false))
				b.wantSameSession(client)
				if side == topology.SideB {
					client, srv = srv, client
				}
				all = append(all, pair{client, srv})
			}
			b.wire()
			killed := map[topology.Side]*topology.Gateway{topology.SideA: b.a, topology.SideB: b.b}[side]
			killed.KillAll()
			for _, p := range all {
				text := make([]byte, 20_000)
				pattern.Fill(text, streams.Add(1), 0)
				_, _ = p.here.Write(text)
				_, _ = p.there.Write([]byte("what arrives as a frame"))
			}
			for _, p := range all {
				b.check(p.here.SetReadDeadline(time.Now().Add(500 * time.Millisecond)))
				var got [100]byte
				if n, _ := p.here.Read(got[:]); n != 0 {
					t.Errorf("a program reads %q of a connection whose gateway is gone", got[:n])
				}
			}
			if w := b.wire(); w.Plaintext != 0 {
				t.Errorf("plaintext on the wire in %d packets: %s", w.Plaintext, w.First)
			}
			again, other := b.mustConnect(ipv4)
			b.check(exchange(again, other, 10_000, 10_000, false))
			b.check(exchange(oldClient, oldServer, 10_000, 10_000, false))
			if side == topology.SideB {
				_, err := b.top.Server.Run("env", "LINECRYPT_RUN_DIR="+b.top.RunDir(), programs+"/linecrypt", "stop", "--name", killed.Name)
				b.check(err)
				b.wantOver(all[0].here)
				b.b = nil
				return
			}
			_, err := b.top.Client.Run("env", "LINECRYPT_RUN_DIR="+b.top.RunDir(), programs+"/linecrypt", "host", "--name", killed.Name, "--interface", topology.Host, "--open")
			b.check(err)
			b.wantMachine(before)
			b.wantOver(all[0].here)
			b.a = nil
		})
	}
}

// wantOver fails unless a connection has ended for its program, and takes nothing any more. Of what ended it the kernel tells once: a call
// before this one may have heard it, and reading then finds the end.
func (b *bed) wantOver(c *net.TCPConn) {
	b.t.Helper()
	b.check(c.SetDeadline(time.Now().Add(5 * time.Second)))
	if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.ECONNABORTED) {
		b.t.Errorf("the connection that was encrypted: %v", err)
	}
	if _, err := c.Write([]byte("plaintext")); err == nil {
		b.t.Error("the connection that was encrypted takes what would leave in the clear")
	}
}

func TestHostThatRequiresEncryptionIsClosedWhenAllProcessesAreKilled(t *testing.T) {
	b := cableOf(t)
	before := b.machine()
	oldClient, oldServer := b.mustConnect(ipv4)
	b.startHosts("policy=require")
	client, srv := b.mustConnect(ipv4)
	b.check(exchange(client, srv, 10_000, 10_000, false))
	b.wire()
	for _, pid := range []int{b.a.Supervisor(), b.a.ControlPlane(), b.a.DataPlane()} {
		b.check(syscall.Kill(pid, syscall.SIGKILL))
	}
	b.a.Ended()
	_, _ = client.Write([]byte("plaintext"))
	b.wantClosed()
	b.check(exchange(oldClient, oldServer, 10_000, 10_000, false))
	_, err := b.top.Client.Run(programs+"/linecrypt", "host", "--interface", topology.Host, "--open")
	b.check(err)
	b.wantMachine(before)
	b.a = nil
}

func TestUnfitInterfaceIsRefusedBeforeAnythingIsChanged(t *testing.T) {
	b := cableOf(t)
	before := b.machine()
	host := func(want string, args ...string) {
		t.Helper()
		text, err := b.top.Client.Run(programs+"/linecrypt", append([]string{"host", "--name", b.top.ID + "-u"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v %s; want %q", args, err, text, want)
		}
	}
	host("loopback", "--interface", "lo")
	host("ip -brief link", "--interface", "nosuch0")
	host("given twice", "--interface", topology.Host, "--interface", topology.Host)
	text, err := b.top.A.Run(programs+"/linecrypt", "host", "--name", b.top.ID+"-u", "--interface", topology.Inside)
	if err == nil || !strings.Contains(err.Error(), "nomaster") {
		t.Errorf("a bridge's port: %v %s", err, text)
	}
	b.wantMachine(before)

	// Interfaces that are there for this alone.
	ip := func(args ...string) {
		t.Helper()
		_, err := b.top.Client.Run(args[0], args[1:]...)
		b.check(err)
	}
	ip("ip", "link", "add", "down0", "type", "veth", "peer", "name", "shaped0")
	ip("ip", "link", "set", "shaped0", "up")
	ip("tc", "qdisc", "add", "dev", "shaped0", "ingress")
	ip("ip", "tuntap", "add", "dev", "tunnel0", "mode", "tun")
	ip("ip", "link", "set", "tunnel0", "up")
	before = b.machine()
	host("ip link set dev down0 up", "--interface", "down0")
	host("tc qdisc add dev shaped0 clsact", "--interface", "shaped0")
	host("not an Ethernet interface", "--interface", "tunnel0")
	host("not an Ethernet interface", "--interface", topology.Host, "--interface", "tunnel0") // and the other one is left alone
	b.wantMachine(before)
	for _, name := range []string{"down0", "tunnel0"} {
		ip("ip", "link", "del", name)
	}
	b.startHosts()
	host("-a", "--interface", topology.Host)
}
