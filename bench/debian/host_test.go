package debian

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"linecrypt/bench/testenv"
)

// hostSide is what protects the machine's interface h0, whose far end knows nothing of it.
type hostSide struct {
	*machine
	listener net.Listener
}

const hostFar = "10.78.0.1:7878"

func startHostSide(t *testing.T, m *machine) *hostSide {
	t.Helper()
	far := testenv.NewNetNS(t)
	m.veth(far, "h0", "10.78.0.1/24")
	m.run("ip", "address", "add", "10.78.0.2/24", "dev", "h0")
	h := &hostSide{machine: m}
	testenv.InNetNS(t, far, func() {
		var err error
		if h.listener, err = net.Listen("tcp", hostFar); err != nil {
			t.Error(err)
		}
	})
	if h.listener == nil {
		t.FailNow()
	}
	t.Cleanup(func() { h.listener.Close() })
	go func() {
		for {
			c, err := h.listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("hello\n"))
			c.Close()
		}
	}()
	m.write("/etc/linecrypt/host.yaml", small)
	m.write("/etc/default/linecrypt-host", `OPTIONS="--config /etc/linecrypt/host.yaml"`)
	m.fails("systemctl", "start", "linecrypt-host@nosuch0")
	m.says("linecrypt-host@nosuch0", "activating", "ip -brief link")
	m.run("systemctl", "stop", "linecrypt-host@nosuch0")
	m.fails("systemctl", "start", "linecrypt-host@lo")
	m.says("linecrypt-host@lo", "activating", "loopback")
	m.run("systemctl", "stop", "linecrypt-host@lo")
	m.run("systemctl", "enable", "--now", "linecrypt-host@h0")
	m.confined("linecrypt-host@h0", "host-h0", 4, 1<<12|1<<13|1<<38|1<<39)
	return h
}

// connects returns what a program of the machine reads from the far end.
func (h *hostSide) connects() (string, error) {
	return h.try("timeout", "10", "bash", "-c", "exec 3<>/dev/tcp/"+strings.Replace(hostFar, ":", "/", 1)+"; cat <&3")
}

// passes fails unless the machine's TCP goes through its gateway, and still does after a crash.
func (h *hostSide) passes() {
	h.t.Helper()
	for range 2 {
		if out, err := h.connects(); err != nil || out != "hello\n" {
			h.t.Errorf("a connection of the machine's: %q, %v", out, err)
		}
		await(h.t, "the connection was counted", func() bool {
			out, _ := h.try("linecrypt", "status", "--json", "--name", "host-h0")
			return strings.Contains(out, `"plain": 1`)
		})
		before := h.property("linecrypt-host@h0", "MainPID")
		h.run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "linecrypt-host@h0")
		await(h.t, "the host is protected again", func() bool {
			return h.property("linecrypt-host@h0", "ActiveState") == "active" && h.property("linecrypt-host@h0", "MainPID") != before
		})
	}
}

// closes has the host refuse what is not encrypted, which stays so when its gateway ends.
func (h *hostSide) closes() {
	h.t.Helper()
	h.write("/etc/linecrypt/host.yaml", "policy: require\n"+small)
	h.run("systemctl", "restart", "linecrypt-host@h0")
	h.run("systemctl", "stop", "linecrypt-host@h0")
	if out, err := h.try("timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/"+strings.Replace(hostFar, ":", "/", 1)); err == nil {
		h.t.Errorf("the interface is open although encryption is required: %s", out)
	}
	h.run("systemctl", "start", "linecrypt-host@h0")
}

// free fails unless nothing holds the machine's TCP.
func (h *hostSide) free() {
	h.t.Helper()
	if out, err := h.connects(); err != nil || out != "hello\n" {
		h.t.Errorf("a connection of the machine's after the package: %q, %v", out, err)
	}
	if out := h.run("sh", "-c", "tc filter show dev h0 egress; ip -o link | grep lchost || true"); out != "" {
		h.t.Errorf("host mode has left %s", out)
	}
}

// confined fails unless each of the n processes of a unit is the user's, with the capabilities of that mask, under seccomp, and has its
// memory locked. Mark is in the command line of each.
func (m *machine) confined(unit, mark string, n int, capabilities uint64) {
	m.t.Helper()
	pids := strings.Fields(m.run("pgrep", "-u", "linecrypt", "-f", mark))
	if len(pids) != n {
		m.t.Errorf("%s has processes %v, not %d", unit, pids, n)
	}
	for _, pid := range pids {
		status := strings.ReplaceAll(m.run("cat", "/proc/"+pid+"/status"), "\t", " ")
		for _, want := range []string{fmt.Sprintf("CapEff: %016x", capabilities), fmt.Sprintf("CapBnd: %016x", capabilities), "NoNewPrivs: 1", "Seccomp: 2"} {
			if !strings.Contains(status, want) {
				m.t.Errorf("%s, pid %s: no %q in\n%s", unit, pid, want, status)
			}
		}
	}
	if _, err := m.try("sh", "-c", "ulimit -l unlimited"); err != nil {
		return // a machine that itself may not raise limits
	}
	if out, err := m.try("journalctl", "-u", unit, "--no-pager"); err != nil || strings.Contains(out, "may reach a swap device") {
		m.t.Errorf("%s: memory is not locked: %v\n%s", unit, err, out)
	}
}
