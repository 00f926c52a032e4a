package kernel

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"linecrypt/bench/pattern"
	"linecrypt/bench/topology"
)

// Addresses of a second cable between client and server.
const (
	secondClient, secondServer = "10.97.0.1", "10.97.0.2"
	secondDevice, secondWire   = "host2", "wire2-a"
)

func TestHostProtectsSeveralInterfacesAtOnce(t *testing.T) {
	b := cableOf(t)
	_, err := b.top.Wire.Run("ip", "link", "add", "bridge2", "type", "bridge", "mcast_snooping", "0")
	b.check(err)
	for _, end := range []struct {
		ns         topology.NetNS
		addr, wire string
	}{{b.top.Client, secondClient, secondWire}, {b.top.Server, secondServer, "wire2-b"}} {
		_, err := end.ns.Run("ip", "link", "add", secondDevice, "type", "veth", "peer", "name", end.wire, "netns", string(b.top.Wire))
		b.check(err)
		_, err = b.top.Wire.Run("ip", "link", "set", end.wire, "master", "bridge2", "up")
		b.check(err)
		_, err = end.ns.Run("ip", "addr", "add", end.addr+"/24", "dev", secondDevice)
		b.check(err)
		_, err = end.ns.Run("ip", "link", "set", secondDevice, "up")
		b.check(err)
	}
	_, err = b.top.Wire.Run("ip", "link", "set", "bridge2", "up")
	b.check(err)
	second, err := listen(b.top.Server, fmt.Sprintf("%s:%d", secondServer, port))
	b.check(err)
	t.Cleanup(func() { second.l.Close() })
	before := b.machine()
	b.runHosts(topology.HostRun{Interfaces: []string{topology.Host, secondDevice}})
	b.wire()
	other, err := b.top.CaptureAt(b.top.Wire, secondWire, "second.pcap")
	b.check(err)
	for _, f := range families {
		client, srv := b.mustConnect(f)
		b.check(exchange(client, srv, 1<<20, 1<<20, false))
		if s := b.wantSameSession(client); s.VLAN != 0 {
			t.Errorf("the first interface is VLAN %d", s.VLAN)
		}
	}
	b.wantEncrypted(4 << 20)
	b.servers["second"] = second
	client, srv := b.mustConnect("second")
	b.check(exchange(client, srv, 1<<20, 1<<20, false))
	if s := b.wantSameSession(client); s.VLAN != 1 {
		t.Errorf("the second interface is VLAN %d", s.VLAN)
	}
	if w := b.wire(); w.Segments != 0 {
		t.Errorf("what belongs to the second interface left by the first one: %+v", w)
	}
	path, _, err := other.Stop()
	b.check(err)
	w, err := topology.Examine(path)
	b.check(err)
	if w.Plaintext != 0 || w.SYN == 0 || w.SYNWithENO != w.SYN || w.Payload < 2<<20 {
		t.Errorf("on the second interface: %+v", w)
	}
	b.check(b.a.Stop())
	b.wantMachine(before)
}

func TestContainersAreProtectedFromOutside(t *testing.T) {
	b := cableOf(t)
	b.runHosts(topology.HostRun{Container: true})
	b.wire()
	for _, f := range families {
		client, srv := b.mustConnect(f)
		b.check(exchange(client, srv, 1<<20, 1<<20, false))
		b.wantSameSession(client)
	}
	b.wantEncrypted(4 << 20)

	// Nobody outside can abort the containers' connections: what they say goes nowhere when the data plane is killed.
	client, srv := b.mustConnect(ipv4)
	b.check(exchange(client, srv, 10_000, 10_000, false))
	b.wire()
	b.check(b.a.KillDataPlane())
	text := patternOf(20_000)
	_, _ = client.Write(text)
	again, other := b.mustConnect(ipv6)
	if _, ok := b.session(b.b, again); ok {
		t.Error("a new connection is encrypted without a gateway")
	}
	b.check(again.Close())
	b.check(other.Close())
	if w := b.wire(); w.Plaintext != 0 {
		t.Errorf("plaintext on the wire in %d packets: %s", w.Plaintext, w.First)
	}
	var err error
	if b.a, err = b.top.RunHost(topology.HostRun{Side: topology.SideA, Container: true}, insist); err != nil {
		t.Fatal(err)
	}
	b.wantReset(topology.SideA, "client", client)
	client, srv = b.mustConnect(ipv4)
	b.check(exchange(client, srv, 10_000, 10_000, false))
	b.wantSameSession(client)
}

// patternOf returns text that is recognised on a wire.
func patternOf(n int) []byte {
	text := make([]byte, n)
	pattern.Fill(text, streams.Add(1), 0)
	return text
}

// nobody is a user without any rights, but for the capabilities that host mode names.
const nobody = 65534

func TestHostModeNeedsTheCapabilitiesThatItNamesAndNoOthers(t *testing.T) {
	needTool(t, "setpriv")
	b := cableOf(t)
	b.check(os.Chmod(programs, 0o711))
	b.check(os.Chmod(b.top.Dir, 0o711))
	b.check(os.Mkdir(b.top.RunDir(), 0o755))
	b.check(os.Chown(b.top.RunDir(), nobody, nobody))
	before := b.machine()
	as := func(capabilities string) []string {
		user := fmt.Sprint(nobody)
		return []string{"setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs", "--inh-caps", capabilities, "--ambient-caps", capabilities,
			"--bounding-set", "-all," + capabilities}
	}
	const all = "+net_admin,+net_raw,+bpf,+perfmon"
	cmd := b.top.Client.Command(context.Background(), "setpriv", append(as("+net_admin,+net_raw,+bpf")[1:], filepath.Join(programs, "linecrypt"), "host", "--interface", topology.Host)...)
	cmd.Env = b.top.Env()
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "CAP_PERFMON missing") {
		t.Errorf("without one capability: %v %s", err, out)
	}
	b.wantMachine(before)
	b.runHosts(topology.HostRun{Command: as(all)})
	for _, f := range families {
		client, srv := b.mustConnect(f)
		b.check(exchange(client, srv, 1<<20, 1<<20, false))
		b.wantSameSession(client)
	}
	client, _ := b.mustConnect(ipv4)
	b.check(syscall.Kill(b.a.DataPlane(), syscall.SIGKILL))
	b.wantOver(client) // whose socket is another user's
	b.wantMachine(before)
	b.a.Ended()
	b.a = nil
}
