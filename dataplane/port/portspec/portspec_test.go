package portspec

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"linecrypt/dataplane/port"
)

func TestNameSaysKindAndDevice(t *testing.T) {
	for text, want := range map[string]Spec{
		"eth0":                       {Packet, "eth0", false},
		"enp3s0f0.100":               {Packet, "enp3s0f0.100", false},
		"packet:net_odd":             {Packet, "net_odd", false},
		"xdp:eth0":                   {XDP, "eth0", false},
		"xdp":                        {Packet, "xdp", false},
		"0000:03:00.0":               {DPDK, "0000:03:00.0", true},
		"03:00.0":                    {DPDK, "0000:03:00.0", true},
		"0000:AF:00.1":               {DPDK, "0000:af:00.1", true},
		"dpdk:03:00.7":               {DPDK, "0000:03:00.7", true},
		"03:00.0,rss=1":              {DPDK, "0000:03:00.0,rss=1", true},
		"net_af_xdp0,iface=veth0":    {DPDK, "net_af_xdp0,iface=veth0", false},
		"net_null0":                  {DPDK, "net_null0", false},
		"net_pcap0,rx_pcap=/tmp/a.b": {DPDK, "net_pcap0,rx_pcap=/tmp/a.b", false},
		"dpdk:net_ring0":             {DPDK, "net_ring0", false},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%q: its explicit form %q gives %+v, %v", text, got, again, err)
		}
	}
}

func TestBadNameIsRefusedWithAReason(t *testing.T) {
	for text, reason := range map[string]string{
		"":                                 "empty",
		"packet:":                          "empty",
		"xdp:":                             "empty",
		"xdp:03:00.0":                      "neither an interface name",
		"xdp:net_af_xdp0,iface=eth0":       "neither an interface name",
		"dpdk:":                            "not a DPDK device",
		"dpdk:eth0":                        "not a DPDK device",
		"packet:03:00.0":                   "neither an interface name",
		"memory:x":                         "neither an interface name",
		"03:00.8":                          "neither an interface name",
		"a-name-that-is-long":              "at most 15 bytes",
		"eth 0":                            "byte 4 is not a printable",
		"eth0\n":                           "byte 5 is not a printable",
		"eth\x00":                          "byte 4 is not a printable",
		"ethä":                             "byte 4 is not a printable",
		"..":                               "not an interface name",
		"../../etc":                        "not an interface name",
		"net_":                             "not a DPDK device",
		"net_af_xdp0,iface":                "not key=value",
		"net_af_xdp0,":                     "not key=value",
		"net_af_xdp0,=x":                   "not key=value",
		"net_tap0,iface=0123456789ab_long": "at most 15 bytes",
		"net_" + strings.Repeat("a", 80):   "at most 63 bytes",
		strings.Repeat("x", 600):           "longer than 512 bytes",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v, want %q", text, err, reason)
		}
	}
}

func TestInterfacesBelowAPortAreKnown(t *testing.T) {
	for text, want := range map[string][]string{
		"eth0":                                {"eth0"},
		"xdp:v":                               {"v"},
		"net_af_xdp0,start_queue=0,iface=v":   {"v"},
		"net_af_packet1,iface=v,blocksz=4096": {"v"},
		"net_pcap0,iface=v":                   {"v"},
		"net_pcap0,rx_iface=v,tx_iface=w":     {"v", "w"},
		"net_pcap0,rx_iface=v,tx_iface=v":     {"v"},
		"net_tap0,iface=made":                 nil,
		"net_tap0,iface=made,remote=v":        {"v"},
		"net_null0":                           nil,
		"03:00.0":                             nil,
	} {
		spec, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := spec.Interfaces(); !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
		if first := spec.Interface(); len(want) == 0 && first != "" || len(want) > 0 && first != want[0] {
			t.Errorf("%q: the first is %q", text, first)
		}
	}
}

func TestMissingInterfaceIsNamed(t *testing.T) {
	spec := Spec{Kind: Packet, Device: "lc-missing"}
	if err := spec.Check(); err == nil || !strings.Contains(err.Error(), "interface lc-missing: no such interface") {
		t.Errorf("check: %v", err)
	}
	if _, err := Open(spec, port.Config{}); err == nil || !strings.Contains(err.Error(), "lc-missing") {
		t.Errorf("open: %v", err)
	}
	spec.Kind = XDP
	if err := spec.Check(); err == nil || !strings.Contains(err.Error(), "xdp:lc-missing: interface lc-missing: no such interface") {
		t.Errorf("check: %v", err)
	}
	if _, err := Open(spec, port.Config{}); err == nil || !strings.Contains(err.Error(), "lc-missing") {
		t.Errorf("open: %v", err)
	}
	if err := (Spec{Kind: Packet, Device: "lo"}).Check(); err != nil {
		t.Errorf("lo: %v", err)
	}
}

func TestBinaryWithoutDPDKSaysHowToBuildIt(t *testing.T) {
	spec := Spec{Kind: DPDK, Device: "net_null0"}
	if HasDPDK {
		if err := spec.Check(); err != nil {
			t.Error(err)
		}
		return
	}
	if err := spec.Check(); !errors.Is(err, ErrNoDPDK) {
		t.Errorf("check: %v", err)
	}
	if _, err := Open(spec, port.Config{}); !errors.Is(err, ErrNoDPDK) || !strings.Contains(err.Error(), "make build") {
		t.Errorf("open: %v", err)
	}
}

func TestUnknownKindIsRefused(t *testing.T) {
	if _, err := Open(Spec{Kind: "serial", Device: "x"}, port.Config{}); err == nil {
		t.Error("opened")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"eth0", "03:00.0", "0000:03:00.0,a=b", "net_af_xdp0,iface=veth0", "packet:x", "xdp:x", "dpdk:net_tap0", "", ":",
		"net_pcap0,rx_pcap=a,tx_pcap=b", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := Parse(text)
		if err != nil {
			if len(err.Error()) > 1024 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			return
		}
		if spec.Device == "" || len(spec.Interface()) > maxInterface {
			t.Errorf("%q: %+v", text, spec)
		}
		if again, err := Parse(spec.String()); err != nil || again != spec {
			t.Errorf("%q: %q gives %+v, %v", text, spec, again, err)
		}
	})
}
