package debian

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linecrypt/bench/testenv"
)

// small keeps the memory of an instance down.
const small = "workers:\n  poll: adaptive\nflows:\n  max: 1024\nbuffers:\n  memory: 8MiB\nmetrics:\n  listen: off\n"

// deb returns the path of a version of the package, as the machine has it.
func deb(t *testing.T, folder, version string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(folder, version, "linecrypt_*.deb"))
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
	t.Log(m.run("apt-get", "install", "-y", deb(t, folder, "old")))
	m.run("id", "linecrypt")
	m.run("linecrypt", "version")

	// What cannot start says why.
	m.fails("systemctl", "start", "linecrypt@missing")
	m.says("missing", "failed", "/etc/linecrypt/missing.yaml: no such file")
	m.write("/etc/linecrypt/wrong.yaml", "inside: a\noutside: b\npolcy: require\n")
	m.fails("systemctl", "start", "linecrypt@wrong")
	m.says("wrong", "failed", "/etc/linecrypt/wrong.yaml:3: polcy: unknown key")
	m.write("/etc/linecrypt/portless.yaml", "policy: require\n")
	m.fails("systemctl", "start", "linecrypt@portless")
	m.says("portless", "failed", "no port is given")

	client, far := testenv.NewNetNS(t), testenv.NewNetNS(t)
	m.veth(client, "in0", "10.77.0.1/24")
	m.veth(far, "out0", "10.77.0.2/24")
	m.write("/etc/linecrypt/left.yaml", "inside: in0\noutside: mid0\npolicy: require\n"+small)
	m.write("/etc/linecrypt/right.yaml", "inside: out0\noutside: mid1\npolicy: require\n"+small)
	m.fails("systemctl", "start", "linecrypt@left")
	m.says("left", "activating", "mid0")

	// An interface that comes later is taken up.
	m.run("ip", "link", "add", "mid0", "type", "veth", "peer", "name", "mid1")
	m.up("mid0")
	m.up("mid1")
	m.run("systemctl", "enable", "--now", "linecrypt@right")
	await(t, "the gateway that had no interface has started", func() bool { return m.property("linecrypt@left", "ActiveState") == "active" })
	m.run("systemctl", "enable", "linecrypt@left")
	m.confined("left")
	m.confined("right")

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
	m.run("apt-get", "install", "-y", deb(t, folder, "new"))
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
	m.run("apt-get", "purge", "-y", "linecrypt")
	if out, _ := m.try("pgrep", "-f", "linecrypt"); out != "" {
		t.Errorf("it runs although it is removed: %s", out)
	}
	left := m.run("find", "/etc", "/usr", "/lib/systemd", "/var/lib", "/run", "/dev/shm", "-name", "*linecrypt*", "-not", "-path", "/var/lib/apt/*", "-not", "-path", "/var/lib/systemd/*")
	if strings.TrimSpace(left) != "/etc/linecrypt" {
		t.Errorf("left behind:\n%s", left)
	}
	if files := m.run("ls", "/etc/linecrypt"); strings.Contains(files, "example") || !strings.Contains(files, "left.yaml") {
		t.Errorf("/etc/linecrypt has %s", files)
	}
}

// says fails unless an instance is in a state and `systemctl status` says why.
func (m *machine) says(name, state, why string) {
	m.t.Helper()
	out, _ := m.try("systemctl", "status", "--no-pager", "--full", "linecrypt@"+name)
	if !strings.Contains(out, "Active: "+state) || !strings.Contains(out, why) {
		m.t.Errorf("linecrypt@%s: want %q and %q in\n%s", name, state, why, out)
	}
}

// confined fails unless every process of an instance is the user's, with the one capability, under seccomp, and has its memory locked.
func (m *machine) confined(name string) {
	m.t.Helper()
	pids := strings.Fields(m.run("pgrep", "-u", "linecrypt", "-f", name+".yaml"))
	if len(pids) != 3 {
		m.t.Errorf("linecrypt@%s has processes %v, not 3", name, pids)
	}
	for _, pid := range pids {
		status := strings.ReplaceAll(m.run("cat", "/proc/"+pid+"/status"), "\t", " ")
		for _, want := range []string{"CapEff: 0000000000002000", "CapBnd: 0000000000002000", "NoNewPrivs: 1", "Seccomp: 2"} {
			if !strings.Contains(status, want) {
				m.t.Errorf("linecrypt@%s, pid %s: no %q in\n%s", name, pid, want, status)
			}
		}
	}
	if _, err := m.try("sh", "-c", "ulimit -l unlimited"); err != nil {
		return // a machine that itself may not raise limits
	}
	if out, err := m.try("journalctl", "-u", "linecrypt@"+name, "--no-pager"); err != nil || strings.Contains(out, "may reach a swap device") {
		m.t.Errorf("linecrypt@%s: memory is not locked: %v\n%s", name, err, out)
	}
}
