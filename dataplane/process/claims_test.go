package process

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"linecrypt/bench/testenv"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/instance"
)

// claimant opens the ports of an instance of its own, with its own run folder, in a namespace. Packets do not flow.
func claimant(t *testing.T, ns, name, inside, outside string) (*ports, string, error) {
	t.Helper()
	t.Setenv(instance.EnvRunDir, t.TempDir())
	in, err := instance.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Name, cfg.Inside, cfg.Outside, cfg.Buffers.Count = name, inside, outside, 1024
	var p *ports
	var log strings.Builder
	testenv.InNetNS(t, ns, func() { p, err = openPorts(cfg, in, 1, slog.New(slog.NewTextHandler(&log, nil))) })
	if err == nil {
		t.Cleanup(p.close)
	}
	return p, log.String(), err
}

func TestSecondGatewayOnAnInterfaceIsRefusedAndNamesTheFirst(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	a, _ := testenv.Veth(t, ns, "")
	b, _ := testenv.Veth(t, ns, "")
	c, _ := testenv.Veth(t, ns, "")
	first, _, err := claimant(t, ns, "first", a, b)
	if err != nil {
		t.Fatal(err)
	}
	for _, ports := range [][2]string{{a, b}, {b, a}, {a, c}, {c, b}, {"packet:" + b, c}} {
		_, _, err := claimant(t, ns, "second", ports[0], ports[1])
		var held *instance.DeviceError
		if !errors.As(err, &held) || held.Instance != "first" || !strings.Contains(err.Error(), held.Device) {
			t.Errorf("%v: %v", ports, err)
		}
	}
	first.close()
	second, _, err := claimant(t, ns, "second", b, c)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	second.close()
}

func TestPortsThatKernelDevicesForwardBetweenAreRefused(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	a, far := testenv.Veth(t, ns, ns)
	b, _ := testenv.Veth(t, ns, "")
	if _, _, err := claimant(t, ns, "ends", a, far); err == nil || !strings.Contains(err.Error(), "other end") {
		t.Errorf("both ends of one pair: %v", err)
	}
	testenv.RunIn(t, ns, "ip", "link", "property", "add", "dev", a, "altname", "towards-hosts")
	if _, _, err := claimant(t, ns, "twice", a, "towards-hosts"); err == nil || !strings.Contains(err.Error(), "same interface") {
		t.Errorf("one interface by two names: %v", err)
	}
	testenv.RunIn(t, ns, "ip", "link", "add", "name", "lc-br", "type", "bridge")
	testenv.RunIn(t, ns, "ip", "link", "set", b, "master", "lc-br")
	_, _, err := claimant(t, ns, "bridged", a, b)
	if err == nil || !strings.HasPrefix(err.Error(), "outside: ") || !strings.Contains(err.Error(), "ip link set dev "+b+" nomaster") {
		t.Errorf("a port of a bridge: %v", err)
	}
	testenv.RunIn(t, ns, "ip", "link", "set", b, "nomaster")
	if _, log, err := claimant(t, ns, "free", a, b); err != nil || strings.Contains(log, "routes") {
		t.Errorf("after the command: %v, log %s", err, log)
	}
}

func TestKernelThatRoutesBetweenThePortsIsWarnedOf(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	a, _ := testenv.Veth(t, ns, "")
	b, _ := testenv.Veth(t, ns, "")
	testenv.RunIn(t, ns, "ip", "addr", "add", "10.8.1.1/24", "dev", a)
	testenv.RunIn(t, ns, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	_, log, err := claimant(t, ns, "routing", a, b)
	if err != nil || !strings.Contains(log, "net/ipv4/conf/"+a+"/forwarding=0") {
		t.Errorf("%v, log %q", err, log)
	}
}

func TestBuffersFitWhatXDPPortsCarry(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	a, _ := testenv.Veth(t, ns, ns)
	b, _ := testenv.Veth(t, ns, ns)
	testenv.RunIn(t, ns, "ip", "link", "set", a, "mtu", "9000")
	p, log, err := claimant(t, ns, "one", "xdp:"+a, "xdp:"+b)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if inside, outside := p.inside.MTU(), p.outside.MTU(); inside != 9000 || outside != 1500 {
		t.Errorf("MTUs of %d and %d", inside, outside)
	}
	if _, _, err := claimant(t, ns, "two", a, "xdp:"+b); err == nil || !strings.Contains(err.Error(), a) {
		t.Errorf("a second gateway on the interfaces: %v", err)
	}
}
