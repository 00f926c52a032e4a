package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/cli"
)

// flooding says what is flooded.
type flooding struct {
	eno     bool // the SYNs carry ENO
	inside  bool // they come from the client's side, to outside
	nowhere bool // they go to hosts that do not exist
	set     []string
}

// Bars of a flood.
const (
	encryptedShare  = 0.99 // of new honest connections, each way
	throughputShare = 0.90 // of what an established connection carried before
)

// bed is two gateways with hosts behind them.
type bed struct {
	top  *topology.Topology
	a, b *topology.Gateway
	stop []func()
}

func (s *soak) bed(set ...string) (*bed, error) {
	top, err := topology.New(topology.Options{Bin: s.bin})
	if err != nil {
		return nil, err
	}
	b := &bed{top: top}
	if b.a, err = top.Start(topology.SideA, s.kind, set...); err == nil {
		b.b, err = top.Start(topology.SideB, s.kind, append([]string{"metrics.listen=off"}, set...)...)
	}
	if err != nil {
		return nil, errors.Join(err, top.Close())
	}
	return b, nil
}

func (b *bed) close() error {
	for _, stop := range b.stop {
		stop()
	}
	return b.top.Close()
}

// answerStrangers gives a host a route to the forged addresses, by a neighbour that nobody is, so that it answers SYNs from there.
func answerStrangers(ns topology.NetNS, gateway string) error {
	const nobody = "02:00:00:00:00:99"
	if _, err := ns.Run("ip", "neigh", "replace", gateway, "lladdr", nobody, "dev", topology.Host, "nud", "permanent"); err != nil {
		return err
	}
	_, err := ns.Run("ip", "route", "replace", "default", "via", gateway, "dev", topology.Host)
	return err
}

// flood runs one flood beside honest connections of both directions and an established transfer.
func (s *soak) flood(f flooding) (report, error) {
	var r report
	b, err := s.bed(f.set...)
	if err != nil {
		return r, err
	}
	err = s.floodBed(b, f, &r)
	return r, errors.Join(err, b.close())
}

func (s *soak) floodBed(b *bed, f flooding, r *report) error {
	for _, ns := range []topology.NetNS{b.top.Client, b.top.Server} {
		if err := answerStrangers(ns, "10.99.0.250"); err != nil {
			return err
		}
	}
	for ns, host := range map[topology.NetNS]string{b.top.Client: topology.Client4, b.top.Server: topology.Server4} {
		l, err := echo(ns, host)
		if err != nil {
			return err
		}
		b.stop = append(b.stop, func() { l.Close() })
	}
	stopIperf, err := b.top.StartIperf()
	if err != nil {
		return err
	}
	b.stop = append(b.stop, stopIperf)
	// A rate that leaves the machine room for the flood: what is asked for is whether it suffers.
	const rate = "100M"
	before, err := b.top.Iperf(context.Background(), 5, "-b", rate)
	if err != nil {
		return err
	}
	fl, err := s.flooderFor(b, f)
	if err != nil {
		return err
	}
	done, err := count(b.a, "handshakes_done")
	if err != nil {
		return err
	}
	fl.start(s.rate)
	out := &honest{ns: b.top.Client, addr: net.JoinHostPort(topology.Server4, fmt.Sprint(echoPort)), every: 50 * time.Millisecond}
	in := &honest{ns: b.top.Server, addr: net.JoinHostPort(topology.Client4, fmt.Sprint(echoPort)), every: 50 * time.Millisecond}
	ctx, cancel := context.WithTimeout(context.Background(), s.long)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { out.run(ctx) })
	wg.Go(func() { in.run(ctx) })
	during, err := b.top.Iperf(context.Background(), int(s.long.Seconds())-3, "-b", rate)
	held := describe(b)
	wg.Wait()
	sent, floodErr := fl.end()
	if err := errors.Join(err, floodErr); err != nil {
		return err
	}
	after, err := count(b.a, "handshakes_done")
	if err != nil {
		return err
	}
	const iperf = 2 // connections of its own: control and data
	encrypted := int(after-done) - iperf
	opened := out.opened + in.opened
	r.say("%d forged SYNs, %.0f a second", sent, float64(sent)/s.long.Seconds())
	r.say("honest connections: %d out (%d failed, slowest %v), %d in (%d failed, slowest %v), %d encrypted", out.opened, out.failed,
		out.slowest.Round(time.Millisecond), in.opened, in.failed, in.slowest.Round(time.Millisecond), encrypted)
	r.say("established connection: %.1f Mbit/s before, %.1f during", before/1e6, during/1e6)
	r.lines = append(r.lines, held...)
	return errors.Join(
		bar("honest connections that worked", float64(opened-out.failed-in.failed)/float64(opened), encryptedShare, errors.Join(out.first, in.first)),
		bar("honest connections that were encrypted", float64(encrypted)/float64(opened), encryptedShare, nil),
		bar("throughput of the established connection", during/before, throughputShare, nil))
}

func (s *soak) flooderFor(b *bed, f flooding) (*flooder, error) {
	ns, dev, mac := b.top.Wire, topology.WireB, ""
	var err error
	if f.inside {
		ns, dev = b.top.Client, topology.Host
	} else if mac, err = macOf(b.top.Server, topology.Host); err != nil {
		return nil, err
	}
	fl, err := newFlooder(ns, dev)
	if err != nil {
		return nil, err
	}
	fl.eno, fl.port = f.eno, echoPort
	fl.dstMAC = net.HardwareAddr{2, 0, 0, 0, 0, 0x77}
	fl.dst = func(rng *rand.Rand) netip.Addr { return netip.AddrFrom4([4]byte{10, 99, 0, byte(100 + rng.IntN(100))}) }
	if !f.nowhere {
		if fl.dstMAC, err = net.ParseMAC(mac); err != nil {
			return nil, err
		}
		server := netip.MustParseAddr(topology.Server4)
		fl.dst = func(*rand.Rand) netip.Addr { return server }
	}
	return fl, nil
}

func macOf(ns topology.NetNS, dev string) (mac string, err error) {
	err = ns.Do(func() error {
		ifc, err := net.InterfaceByName(dev)
		if err == nil {
			mac = ifc.HardwareAddr.String()
		}
		return err
	})
	return mac, err
}

// bar returns an error where a share is below what it must be; why tells more.
func bar(what string, got, want float64, why error) error {
	if got >= want {
		return nil
	}
	if why != nil {
		return fmt.Errorf("%s: %.1f %%, not %.0f %%: %w", what, 100*got, 100*want, why)
	}
	return fmt.Errorf("%s: %.1f %%, not %.0f %%", what, 100*got, 100*want)
}

// count returns a counter of a gateway.
func count(g *topology.Gateway, name string) (uint64, error) {
	st, err := g.Status()
	if err != nil {
		return 0, err
	}
	for _, list := range [][]cli.NamedCount{st.Counters, st.Drops, st.Aborts} {
		for _, c := range list {
			if c.Name == name {
				return c.Count, nil
			}
		}
	}
	return 0, fmt.Errorf("gateway %s has no counter %s", g.Side, name)
}

// describe says what the gateways hold now, and what they dropped and gave up by name.
func describe(b *bed) []string {
	var lines []string
	for _, g := range []*topology.Gateway{b.a, b.b} {
		st, err := g.Status()
		if err != nil {
			lines = append(lines, err.Error())
			continue
		}
		line := fmt.Sprintf("gateway %s holds %d of %d records:", g.Side, st.Flows.Total, st.Flows.Capacity)
		for state, n := range st.Flows.States {
			if n > 0 {
				line += fmt.Sprintf(" %s %d", state, n)
			}
		}
		lines = append(lines, line)
		line = fmt.Sprintf("gateway %s counted:", g.Side)
		for _, list := range [][]cli.NamedCount{st.Drops, st.Aborts, st.Counters} {
			for _, c := range list {
				if c.Count > 0 && interesting(c.Name) {
					line += fmt.Sprintf(" %s %d", c.Name, c.Count)
				}
			}
		}
		lines = append(lines, line)
	}
	return lines
}
