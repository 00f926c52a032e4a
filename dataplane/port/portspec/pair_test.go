package portspec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/memory"
	"linecrypt/dataplane/port/spread"
)

// fakes opens ports in memory in the place of devices.
type fakes struct {
	max    map[string]int // queues of a device, by its name; 0 is any number
	dull   string         // the device that has queues but spreads nothing over them
	broken string         // the device that cannot be opened
	opened []string       // with the number of queues
	open   int
}

type fake struct {
	port.Port
	f    *fakes
	kind Kind
}

func (p fake) Kind() string { return string(p.kind) }
func (p fake) Close() error { p.f.open--; return p.Port.Close() }

func (f *fakes) Open(s Spec, cfg port.Config) (port.Port, error) {
	if s.Device == f.broken {
		return nil, errors.New("broken")
	}
	f.opened = append(f.opened, fmt.Sprint(s.Device, " ", cfg.Queues))
	if most := f.max[s.Device]; most > 0 && cfg.Queues > most {
		return nil, fmt.Errorf("%s: %w: it has %d", s.Device, port.ErrFewQueues, most)
	}
	p, _, err := memory.NewEnd(s.Device, memory.Options{RSS: s.Device != f.dull && cfg.Queues > 1}, cfg.Caches)
	if err != nil {
		return nil, err
	}
	f.open++
	return fake{p, f, s.Kind}, nil
}

func TestPairSpreadsInSoftwareWhereDevicesDoNot(t *testing.T) {
	arena, err := mbuf.NewArena(1024, 256)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	shared := mbuf.NewShared(arena)
	nic, odd, tap, eth := Spec{Kind: DPDK, Device: "net_nic0"}, Spec{Kind: DPDK, Device: "net_dull0"}, Spec{Kind: DPDK, Device: "net_tap0"}, Spec{Kind: Packet, Device: "eth0"}
	xdp := Spec{Kind: DPDK, Device: "net_af_xdp0,iface=eth1"}
	own, own2 := Spec{Kind: XDP, Device: "eth2"}, Spec{Kind: XDP, Device: "eth3"}
	for _, c := range []struct {
		name    string
		specs   [2]Spec
		workers int
		why     string
		opened  []string
	}{
		{"one worker takes any ports", [2]Spec{xdp, eth}, 1, "", []string{xdp.Device + " 1", "eth0 1"}},
		{"two that spread alike", [2]Spec{nic, {Kind: DPDK, Device: "net_nic1"}}, 2, "", []string{"net_nic0 2", "net_nic1 2"}},
		{"outside has one queue", [2]Spec{nic, tap}, 3, "too few queues", []string{"net_nic0 3", "net_tap0 3", "net_nic0 1", "net_tap0 1"}},
		{"inside has queues and does not use them", [2]Spec{odd, nic}, 2, "net_dull0 does not spread", []string{"net_dull0 2", "net_nic0 2", "net_dull0 1", "net_nic0 1"}},
		{"AF_XDP has one queue for certain", [2]Spec{nic, xdp}, 2, "has one queue", []string{"net_nic0 1", xdp.Device + " 1"}},
		{"an xdp port has one queue too", [2]Spec{own, own2}, 2, "xdp:eth2 has one queue", []string{"eth2 1", "eth3 1"}},
		{"two kinds", [2]Spec{eth, nic}, 2, "differently", []string{"eth0 1", "net_nic0 1"}},
	} {
		f := &fakes{max: map[string]int{"net_tap0": 1}, dull: "net_dull0"}
		var caches []*mbuf.Cache
		for range c.workers {
			caches = append(caches, mbuf.NewShare(shared, c.workers))
		}
		pair, err := openPair(c.specs, port.Config{Queues: c.workers, Caches: caches}, f.Open)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !strings.Contains(pair.Spread, c.why) || (c.why == "") != (pair.Spread == "") || !slices.Equal(f.opened, c.opened) {
			t.Errorf("%s: %q, opened %q", c.name, pair.Spread, f.opened)
		}
		for _, p := range pair.Ports {
			if spread.Is(p.Kind()) != (c.why != "") || p.Queues() != c.workers {
				t.Errorf("%s: a port of kind %s with %d queues", c.name, p.Kind(), p.Queues())
			}
		}
		if err := pair.close(); err != nil || f.open != 0 {
			t.Errorf("%s: %v, %d ports are open", c.name, err, f.open)
		}
	}
}

func TestPairThatCannotBeOpenedLeavesNothingOpen(t *testing.T) {
	arena, err := mbuf.NewArena(1024, 256)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	for name, specs := range map[string][2]Spec{
		"native": {{Kind: Packet, Device: "eth0"}, {Kind: Packet, Device: "eth1"}},
		"spread": {{Kind: DPDK, Device: "net_af_xdp0,iface=eth0"}, {Kind: Packet, Device: "eth1"}},
		// The pool of one thread cannot serve two workers at one queue.
		"pool": {{Kind: DPDK, Device: "net_af_xdp0,iface=eth0"}, {Kind: Packet, Device: "eth2"}},
	} {
		f := &fakes{broken: "eth1"}
		pool, side := mbuf.Pool(mbuf.NewShared(arena)), 1
		if name == "pool" {
			pool, side = arena, 0
		}
		caches := []*mbuf.Cache{mbuf.NewShare(pool, 2), mbuf.NewShare(pool, 2)}
		_, err := openPair(specs, port.Config{Queues: 2, Caches: caches}, f.Open)
		var failed *SideError
		if !errors.As(err, &failed) || failed.Side != side || f.open != 0 {
			t.Errorf("%s: %v, %d ports are open", name, err, f.open)
		}
	}
}
