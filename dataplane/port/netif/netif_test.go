package netif

import (
	"errors"
	"net"
	"strings"
	"testing"

	"linecrypt/bench/testenv"
)

// handleIn opens a handle inside a namespace.
func handleIn(t *testing.T, ns string) *Handle {
	t.Helper()
	var h *Handle
	var err error
	testenv.InNetNS(t, ns, func() { h, err = Open() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func byName(t *testing.T, h *Handle, name string) Interface {
	t.Helper()
	i, err := h.ByName(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return i
}

func TestLoopbackIsFoundWithoutPrivileges(t *testing.T) {
	h, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	want, err := net.InterfaceByName("lo")
	if err != nil {
		t.Skip("no loopback here")
	}
	got := byName(t, h, "lo")
	if got.Index != want.Index || got.MTU != want.MTU || got.Name != "lo" {
		t.Errorf("%+v, not %+v", got, want)
	}
	if again, err := h.ByIndex(got.Index); err != nil || again.Name != "lo" {
		t.Errorf("by number: %+v, %v", again, err)
	}
	if err := h.Usable(got); err == nil || !strings.Contains(err.Error(), "not an Ethernet interface") {
		t.Errorf("the loopback as a port: %v", err)
	}
	for _, name := range []string{"no-such-if", "", "sixteen-and-more-bytes"} {
		if _, err := h.ByName(name); !errors.Is(err, ErrNone) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestHandleStaysInItsNamespace(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	h := handleIn(t, ns)
	a, _ := testenv.Veth(t, ns, "")
	if i := byName(t, h, a); i.Kind != "veth" || !i.Up() || i.Lower != 0 {
		t.Errorf("%+v", i)
	}
	here, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer here.Close()
	if _, err := here.ByName(a); !errors.Is(err, ErrNone) {
		t.Errorf("found in another namespace: %v", err)
	}
}

func TestPortOfABridgeOrBondIsRefusedWithTheCommandThatHelps(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	h := handleIn(t, ns)
	port, _ := testenv.Veth(t, ns, ns)
	if err := h.Usable(byName(t, h, port)); err != nil {
		t.Fatalf("without a master: %v", err)
	}
	for _, kind := range []string{"bridge", "team", "vrf"} {
		args := []string{"link", "add", "m-" + kind, "type", kind}
		if kind == "vrf" {
			args = append(args, "table", "7")
		}
		if out, err := testenv.Command(ns, "ip", args...).CombinedOutput(); err != nil {
			t.Logf("this kernel makes no %s: %s", kind, out)
			continue
		}
		testenv.RunIn(t, ns, "ip", "link", "set", port, "down")
		testenv.RunIn(t, ns, "ip", "link", "set", port, "master", "m-"+kind)
		err := h.Usable(byName(t, h, port))
		if err == nil || !strings.Contains(err.Error(), "ip link set dev "+port+" nomaster") || !strings.Contains(err.Error(), "m-"+kind) {
			t.Errorf("%s: %v", kind, err)
		}
		testenv.RunIn(t, ns, "ip", "link", "set", port, "nomaster")
	}
}

func TestBridgedVLANOnAPortIsRefused(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	h := handleIn(t, ns)
	port, _ := testenv.Veth(t, ns, ns)
	testenv.RunIn(t, ns, "ip", "link", "add", "upper", "link", port, "type", "macvlan")
	if err := h.Usable(byName(t, h, port)); err != nil {
		t.Errorf("with an upper device that nothing bridges: %v", err)
	}
	testenv.RunIn(t, ns, "ip", "link", "add", "name", "lc-br", "type", "bridge")
	testenv.RunIn(t, ns, "ip", "link", "set", "upper", "master", "lc-br")
	if err := h.Usable(byName(t, h, port)); err == nil || !strings.Contains(err.Error(), "ip link set dev upper nomaster") {
		t.Errorf("with a bridged upper device: %v", err)
	}
}

func TestPortsThatCarryTheSameFramesOverlap(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	h := handleIn(t, ns)
	a, b := testenv.Veth(t, ns, ns)
	c, _ := testenv.Veth(t, ns, "")
	testenv.RunIn(t, ns, "ip", "link", "add", "upper", "link", c, "type", "macvlan")
	testenv.RunIn(t, ns, "ip", "link", "property", "add", "dev", c, "altname", "another-name")
	for _, x := range []struct{ one, two, want string }{
		{a, a, "same interface"},
		{c, "another-name", "same interface"},
		{a, b, "other end"},
		{c, "upper", "made on"},
		{"upper", c, "made on"},
		{a, c, ""},
		{a, "upper", ""},
	} {
		err := h.Overlap(byName(t, h, x.one), byName(t, h, x.two))
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s and %s: %v", x.one, x.two, err)
		}
	}
}

func TestRoutingBesideTheGatewayIsSeen(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	h := handleIn(t, ns)
	a, _ := testenv.Veth(t, ns, ns)
	b, _ := testenv.Veth(t, ns, ns)
	routes := func() string {
		t.Helper()
		line, err := h.RoutesBeside(byName(t, h, a), byName(t, h, b))
		if err != nil {
			t.Fatal(err)
		}
		return line
	}
	testenv.RunIn(t, ns, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	if line := routes(); line != "" {
		t.Errorf("without addresses: %q", line)
	}
	testenv.RunIn(t, ns, "ip", "addr", "add", "10.8.0.1/24", "dev", a)
	line := routes()
	if !strings.Contains(line, "net/ipv4/conf/"+a+"/forwarding=0") || !strings.Contains(line, b) || strings.Contains(line, "ipv6") {
		t.Fatalf("with an address: %q", line)
	}
	f := strings.Fields(line)
	testenv.RunIn(t, ns, f[0], append([]string{"-q"}, f[1:]...)...)
	if line := routes(); line != "" {
		t.Errorf("after the command: %q", line)
	}
	testenv.RunIn(t, ns, "ip", "addr", "add", "fd00:8::1/64", "dev", b)
	testenv.RunIn(t, ns, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
	if line := routes(); !strings.Contains(line, "net/ipv6/conf/"+a+"/forwarding=0") {
		t.Errorf("IPv6: %q", line)
	}
}

func FuzzParseInterface(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 16))
	f.Add(attribute(make([]byte, 16), 0x12, attribute(nil, 1, []byte("veth\x00"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, ok := parseInterface(b); ok && len(b) < 16 {
			t.Errorf("%d bytes make %+v", len(b), i)
		}
	})
}
