package debian

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"linecrypt/bench/testenv"
)

// small keeps the memory of an instance down.
const small = "workers:\n  poll: adaptive\nflows:\n  max: 1024\nbuffers:\n  memory: 8MiB\nmetrics:\n  listen: off\n"

// deb returns the path of a version of a package, as the machine has it.
func deb(t *testing.T, folder, version, name string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, version, name+"_*.deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s of the package: %v, %v", version, found, err)
	}
	return "/packages/" + version + "/" + filepath.Base(found[0])
}

func TestLifeOfAnInstalledGateway(t *testing.T) {
	folder := os.Getenv(envFolder)
	if folder == "" {
		t.Skip("make test-deb runs it")
	}
	testenv.NeedRoot(t)
	m := boot(t, folder)
	t.Log(m.run("apt-get", "install", "-y", deb(t, folder, "old", "linecrypt")))
	m.run("id", "linecrypt")
	m.run("linecrypt", "version")

	// What cannot start says why.
	m.fails("systemctl", "start", "linecrypt@missing")
	m.says("linecrypt@missing", "failed", "/etc/linecrypt/missing.yaml: no such file")
	m.write("/etc/linecrypt/wrong.yaml", "inside: a\noutside: b\npolcy: require\n")
	m.fails("systemctl", "start", "linecrypt@wrong")
	m.says("linecrypt@wrong", "failed", "/etc/linecrypt/wrong.yaml:3: polcy: unknown key")
	m.write("/etc/linecrypt/portless.yaml", "policy: require\n")
	m.fails("systemctl", "start", "linecrypt@portless")
	m.says("linecrypt@portless", "failed", "no port is given")

	client, far := testenv.NewNetNS(t), testenv.NewNetNS(t)
	m.veth(client, "in0", "10.77.0.1/24")
	m.veth(far, "out0", "10.77.0.2/24")
	m.write("/etc/linecrypt/left.yaml", "inside: in0\noutside: mid0\npolicy: require\n"+small)
	m.write("/etc/linecrypt/right.yaml", "inside: out0\noutside: mid1\npolicy: require\n"+small)
	m.fails("systemctl", "start", "linecrypt@left")
	m.says("linecrypt@left", "activating", "mid0")

	// An interface that comes later is taken up.
	m.run("ip", "link", "add", "mid0", "type", "veth", "peer", "name", "mid1")
	m.up("mid0")
	m.up("mid1")
	m.run("systemctl", "enable", "--now", "linecrypt@right")
	await(t, "the gateway that had no interface has started", func() bool { return m.property("linecrypt@left", "ActiveState") == "active" })
	m.run("systemctl", "enable", "linecrypt@left")
	m.confined("linecrypt@left", "left.yaml", 3, 1<<13)
	m.confined("linecrypt@right", "right.yaml", 3, 1<<13)

	f := startTraffic(t, client, far)
	f.flows(t)
	if out := m.run("linecrypt", "sessions", "--name", "left"); !strings.Contains(out, "7777") {
		t.Errorf("no session is listed:\n%s", out)
	}
	m.run("linecrypt", "status", "--name", "right")
	m.run("systemctl", "reload", "linecrypt@left")

	before := m.property("linecrypt@left", "MainPID")
	m.run("pkill", "-KILL", "-f", "^/usr/lib/linecrypt/linecrypt-dataplane .*left.yaml")
	await(t, "another data plane is started", func() bool {
		return m.property("linecrypt@left", "ActiveState") == "active" && m.property("linecrypt@left", "MainPID") != before
	})
	f.flows(t)

	// The upgrade, with traffic.
	before = m.property("linecrypt@left", "MainPID")
	f.gap.Store(0)
	m.run("apt-get", "install", "-y", deb(t, folder, "new", "linecrypt"))
	for _, name := range []string{"left", "right"} {
		if state := m.property("linecrypt@"+name, "ActiveState"); state != "active" {
			t.Errorf("%s is %s after the upgrade\n%s", name, state, m.run("journalctl", "-u", "linecrypt@"+name))
		}
	}
	if m.property("linecrypt@left", "MainPID") == before {
		t.Error("the old program still runs")
	}
	f.flows(t)
	if out := m.run("linecrypt", "sessions", "--name", "left"); !strings.Contains(out, "7777") {
		t.Errorf("no session is listed after the upgrade:\n%s", out)
	}
	t.Logf("upgraded: the longest time without an answer is %v, %d connections, %d rounds", time.Duration(f.gap.Load()), f.connections.Load(), f.rounds.Load())
	if n := f.wrong.Load(); n > 0 {
		t.Errorf("%d rounds were answered wrongly or not at all", n)
	}

	m.run("linecrypt", "stop", "--name", "right")
	m.run("systemctl", "stop", "linecrypt@left")
	for _, name := range []string{"left", "right"} {
		if state := m.property("linecrypt@"+name, "ActiveState"); state != "inactive" {
			t.Errorf("%s is %s, not stopped", name, state)
		}
	}
	if out := m.run("sh", "-c", "ls /run/linecrypt; ls /dev/shm"); out != "" {
		t.Errorf("stopped gateways have left %s", out)
	}

	m.run("systemctl", "start", "linecrypt@left")
	h := startHostSide(t, m)
	h.passes()
	h.closes()
	m.run("apt-get", "purge", "-y", "linecrypt")
	h.free()
	wantPurged(t, m, "/etc/linecrypt\n/etc/default/linecrypt-host")
	if files := m.run("ls", "/etc/linecrypt"); strings.Contains(files, "example") || !strings.Contains(files, "left.yaml") {
		t.Errorf("/etc/linecrypt has %s", files)
	}
}

// wantPurged fails unless nothing but those files is left.
func wantPurged(t *testing.T, m *machine, files string) {
	t.Helper()
	if out, _ := m.try("pgrep", "-f", "linecrypt"); out != "" {
		t.Errorf("it runs although it is removed: %s", out)
	}
	left := m.run("find", "/etc", "/usr", "/lib/systemd", "/var/lib", "/run", "/dev/shm", "-name", "*linecrypt*", "-not", "-path", "/var/lib/apt/*", "-not", "-path", "/var/lib/systemd/*")
	got, want := strings.Fields(left), strings.Fields(files)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("left behind:\n%s", left)
	}
}

// The package with DPDK takes the other one's place, and its instances go on.
func TestLifeOfThePackageWithDPDK(t *testing.T) {
	folder := os.Getenv(envFolder)
	if folder == "" {
		t.Skip("make test-deb runs it")
	}
	testenv.NeedRoot(t)
	m := boot(t, folder)
	m.run("apt-get", "install", "-y", deb(t, folder, "old", "linecrypt"))
	client, far := testenv.NewNetNS(t), testenv.NewNetNS(t)
	m.veth(client, "in0", "10.77.0.1/24")
	m.veth(far, "out0", "10.77.0.2/24")
	m.write("/etc/linecrypt/one.yaml", "inside: in0\noutside: out0\n"+small)
	m.run("systemctl", "enable", "--now", "linecrypt@one")
	f := startTraffic(t, client, far)
	f.flows(t)

	// Xdp ports say what the unit does not permit, and run with what comes with the package for them.
	m.run("systemctl", "stop", "linecrypt@one")
	m.write("/etc/linecrypt/one.yaml", "inside: xdp:in0\noutside: xdp:out0\n"+small)
	m.fails("systemctl", "start", "linecrypt@one")
	m.says("linecrypt@one", "activating", "lacks CAP_NET_ADMIN and CAP_BPF")
	m.run("install", "-D", "-m", "644", "/usr/share/doc/linecrypt/examples/xdp.conf", "/etc/systemd/system/linecrypt@one.service.d/xdp.conf")
	m.run("systemctl", "daemon-reload")
	m.run("systemctl", "restart", "linecrypt@one")
	f.flows(t)
	if out := m.run("linecrypt", "status", "--name", "one"); !strings.Contains(out, "xdp") {
		t.Errorf("xdp ports do not run:\n%s", out)
	}
	m.run("rm", "-r", "/etc/systemd/system/linecrypt@one.service.d")
	m.run("systemctl", "daemon-reload")
	m.run("systemctl", "stop", "linecrypt@one")
	m.write("/etc/linecrypt/one.yaml", "inside: in0\noutside: out0\n"+small)
	m.run("systemctl", "start", "linecrypt@one")
	f.flows(t)
	t.Log(m.run("apt-get", "install", "-y", deb(t, folder, "new", "linecrypt-dpdk")))
	if out := m.run("linecrypt", "version"); strings.Contains(out, "not compiled in") {
		t.Errorf("the package with DPDK: %s", out)
	}
	f.flows(t)
	m.run("systemctl", "stop", "linecrypt@one")
	m.write("/etc/linecrypt/one.yaml", "inside: net_af_packet0,iface=in0\noutside: net_af_packet1,iface=out0\n"+small)
	m.run("systemctl", "start", "linecrypt@one")
	f.flows(t)
	if out := m.run("linecrypt", "status", "--name", "one"); !strings.Contains(out, "net_af_packet") {
		t.Errorf("DPDK's ports do not run:\n%s", out)
	}
	m.run("apt-get", "purge", "-y", "linecrypt-dpdk", "linecrypt") // the one that was replaced is only removed
	wantPurged(t, m, "/etc/linecrypt")
}

// says fails unless a unit is in a state and `systemctl status` says why.
func (m *machine) says(unit, state, why string) {
	m.t.Helper()
	out, _ := m.try("systemctl", "status", "--no-pager", "--full", unit)
	if !strings.Contains(out, "Active: "+state) || !strings.Contains(out, why) {
		m.t.Errorf("%s: want %q and %q in\n%s", unit, state, why, out)
	}
}
