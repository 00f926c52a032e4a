package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"linecrypt/bench/topology"
)

// soak is what the cases share: settings from the command line.
type soak struct {
	bin  string
	kind topology.PortKind
	long time.Duration // a flood, and what is measured beside it
	rate int           // forged SYNs a second
	far  int           // far ends that stall, and as many that vanish
}

// testCase is one thing that is shown. It returns what it measured, and an error for a bar that was not met.
type testCase struct {
	name string
	help string
	run  func(*soak) (report, error)
}

var cases = []testCase{
	{"flood-listening", "forged SYN+ENO at a listening port", func(s *soak) (report, error) { return s.flood(flooding{eno: true}) }},
	{"flood-nohost", "forged SYN+ENO at a host that does not exist", func(s *soak) (report, error) { return s.flood(flooding{eno: true, nowhere: true}) }},
	{"flood-small", "forged SYN+ENO at gateways with tables of 256 flows", func(s *soak) (report, error) {
		return s.flood(flooding{eno: true, set: []string{"flows.max=256"}})
	}},
	{"flood-plain", "forged SYNs without ENO at gateways with tables of 256 flows", func(s *soak) (report, error) {
		return s.flood(flooding{set: []string{"flows.max=256"}})
	}},
	{"flood-inside", "SYNs of a host inside to hosts that do not exist", func(s *soak) (report, error) { return s.flood(flooding{inside: true, nowhere: true}) }},
	{"stalled", "far ends that stop reading in mid-transfer", func(s *soak) (report, error) { return s.shares(stall) }},
	{"vanished", "far ends that vanish in mid-transfer", func(s *soak) (report, error) { return s.shares(vanish) }},
}

func main() {
	s := &soak{}
	var only, kind string
	flag.StringVar(&s.bin, "bin", "", "`folder` of the programs (default: bin in the module)")
	flag.StringVar(&kind, "ports", string(topology.Packet), "`kind` of the gateways' ports: packet, xdp, net_af_xdp or net_af_packet")
	flag.DurationVar(&s.long, "long", 30*time.Second, "`time` that a flood lasts")
	flag.IntVar(&s.rate, "rate", 20000, "forged SYNs a second")
	flag.IntVar(&s.far, "far", 500, "far ends that stall, and far ends that vanish")
	flag.StringVar(&only, "only", "", "`names` of cases to run, separated by commas (default: all)")
	list := flag.Bool("list", false, "list the cases")
	flag.Parse()
	s.kind = topology.PortKind(kind)
	if *list {
		for _, c := range cases {
			fmt.Printf("%-16s %s\n", c.name, c.help)
		}
		return
	}
	if err := s.all(only); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// all runs the cases one after the other; a bar that is missed does not keep the others from running.
func (s *soak) all(only string) error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root")
	}
	if err := topology.Tools("iperf3"); err != nil {
		return err
	}
	if _, err := topology.Sweep(); err != nil {
		return err
	}
	names := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	var missed []string
	ran := 0
	for _, c := range cases {
		if len(names) > 0 && !slices.Contains(names, c.name) {
			continue
		}
		ran++
		fmt.Printf("%s: %s\n", c.name, c.help)
		r, err := c.run(s)
		r.print()
		if err != nil {
			fmt.Printf("  MISSED: %v\n", err)
			missed = append(missed, c.name)
			continue
		}
		fmt.Println("  ok")
	}
	if ran == 0 {
		return fmt.Errorf("no case is named %q: -list tells the names", only)
	}
	fmt.Printf("%d passed, %d failed\n", ran-len(missed), len(missed))
	if len(missed) > 0 {
		return fmt.Errorf("bars missed: %s", strings.Join(missed, ", "))
	}
	return nil
}

// report is what a case prints, line by line.
type report struct{ lines []string }

func (r *report) say(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *report) print() {
	for _, l := range r.lines {
		fmt.Println("  " + l)
	}
}
