package scenario

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/config/keyfile"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/port"
)

// row is a line of the table of keys.
type row struct {
	name     string
	standard string // as `--set` takes it
	help     string
	kind     keyfile.Kind[Scenario]
}

type choices[T ~string] []T

func (c choices[T]) kind(field func(*Scenario) *T) keyfile.Kind[Scenario] {
	var options []keyfile.Option[T]
	for _, w := range c {
		options = append(options, keyfile.Option[T]{Word: string(w), Is: w})
	}
	return keyfile.Choice(field, options...)
}

func integer(field func(*Scenario) *int, low, high int) keyfile.Kind[Scenario] {
	return keyfile.Integer(field, low, high)
}

func duration(field func(*Scenario) *time.Duration, low, high time.Duration) keyfile.Kind[Scenario] {
	return keyfile.Duration(field, low, high)
}

func text(field func(*Scenario) *string) keyfile.Kind[Scenario] {
	return keyfile.Text("text", field, func(string) error { return nil })
}

// number is a decimal fraction from low to high.
func number(field func(*Scenario) *float64, low, high float64) keyfile.Kind[Scenario] {
	return keyfile.Scalar("number", fmt.Sprintf("%g to %g", low, high), field, func(s string) (float64, error) {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number", s)
		}
		if !(x >= low && x <= high) {
			return 0, fmt.Errorf("%s is not in %g to %g", s, low, high)
		}
		return x, nil
	})
}

// share is hundredths of a percent, written as percent.
func share(field func(*Scenario) *int, high float64) keyfile.Kind[Scenario] {
	return keyfile.Scalar("number", fmt.Sprintf("0 to %g", high), field, func(s string) (int, error) {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number", s)
		}
		if !(x >= 0 && x <= high) {
			return 0, fmt.Errorf("%s is not in 0 to %g", s, high)
		}
		n := math.Round(x * 100)
		if math.Abs(x*100-n) > 1e-6 {
			return 0, fmt.Errorf("%s is finer than hundredths of a percent", s)
		}
		return int(n), nil
	})
}

const (
	maxFlows   = 1 << 22
	maxPayload = 1428 // what a frame and timestamps leave of an MTU of 1500
)

// keys is constant after initialisation.
var keys = []row{
	{"summary", "", "What the scenario shows, in a line: `linecrypt bench list` prints it.",
		text(func(s *Scenario) *string { return &s.Summary })},

	{"traffic.direction", "seal", "seal: hosts send and the gateway seals; open: far ends send and it opens; both: both at once. Acknowledgements go the other way.",
		choices[Direction]{Seal, Open, Both}.kind(func(s *Scenario) *Direction { return &s.Traffic.Direction })},
	{"traffic.sizes", "[64]", "Bytes of payload in the data segments, each with its weight where there are several: [64:7, 512:4, 1380:1] is a mix.",
		keyfile.List("sizes of 1 to 1428, as SIZE or SIZE:WEIGHT with a weight of 1 to 16", func(s *Scenario) *[]Size { return &s.Traffic.Sizes }, parseSize, false, false)},
	{"traffic.flows", "1", "Connections at the same time.",
		integer(func(s *Scenario) *int { return &s.Traffic.Flows }, 1, maxFlows)},
	{"traffic.opener", "far", "Who opens the connections: far ends, or hosts.",
		choices[Opener]{ByFar, ByHost}.kind(func(s *Scenario) *Opener { return &s.Traffic.Opener })},
	{"traffic.plain", "0", "Percent of the connections that are not encrypted, because their far ends do not speak ENO.",
		integer(func(s *Scenario) *int { return &s.Traffic.Plain }, 0, 100)},
	{"traffic.ack_every", "2", "Data segments that a receiver acknowledges by one segment.",
		integer(func(s *Scenario) *int { return &s.Traffic.AckEvery }, 1, 64)},
	{"traffic.run", "1", "Segments that a connection sends in a row before the next one's turn.",
		integer(func(s *Scenario) *int { return &s.Traffic.Run }, 1, port.Burst)},
	{"traffic.window", "1024", "Data segments of a connection and direction that are in flight at most.",
		integer(func(s *Scenario) *int { return &s.Traffic.Window }, 1, 8192)},
	{"traffic.keys", "auto", "agreed: every connection has a key agreement (X25519) of its own; shared: all have one master key, which the gateway installs and expands for each all the same; auto: agreed for up to 4096 connections.",
		choices[Keying]{KeysAuto, KeysAgreed, KeysShared}.kind(func(s *Scenario) *Keying { return &s.Traffic.Keys })},
	{"traffic.aead", "AES_128_GCM", "Cipher of the frames.",
		keyfile.Scalar("choice", "AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305", func(s *Scenario) *tcpcrypt.AEAD { return &s.Traffic.AEAD }, parseAEAD)},
	{"traffic.patience", "200ms", "Time after which a sender repeats what is not acknowledged. A receiver acknowledges after half of it, however little it got.",
		duration(func(s *Scenario) *time.Duration { return &s.Traffic.Patience }, time.Millisecond, 10*time.Second)},

	{"ports.kind", "auto", "memory: a gateway in this process, over memory; rings: the same over DPDK's rings; device: two ports of this machine, and the gateway is elsewhere; auto: rings in a program with DPDK, else memory.",
		choices[PortKind]{PortsAuto, PortsMemory, PortsRings, PortsDevice}.kind(func(s *Scenario) *PortKind { return &s.Ports.Kind })},
	{"ports.inside", "", "With kind device, the PORT at the gateway's inside, as the gateway's own configuration names ports.",
		text(func(s *Scenario) *string { return &s.Ports.Inside })},
	{"ports.outside", "", "With kind device, the PORT at the gateway's outside.",
		text(func(s *Scenario) *string { return &s.Ports.Outside })},
	{"ports.eal", "[]", "Further arguments for DPDK's environment abstraction layer.",
		keyfile.List("EAL arguments", func(s *Scenario) *[]string { return &s.Ports.EAL }, parseArgument, true, true)},
	{"ports.checksum", "port", "Who computes TCP checksums on memory ports: the port, as NICs do, or the gateway. Over rings it is always the gateway.",
		choices[Checksum]{ByPort, ByGateway}.kind(func(s *Scenario) *Checksum { return &s.Ports.Checksum })},

	{"ports.queues", "own", "What several workers poll: own: a queue each, over which connections are spread as by a NIC; one: a single one, from which the gateway's own spreader gives each its share.",
		choices[Queues]{OwnQueues, OneQueue}.kind(func(s *Scenario) *Queues { return &s.Ports.Queues })},

	{"cores.workers", "1", "Workers of the gateway in this process, each on a core of its own.",
		integer(func(s *Scenario) *int { return &s.Cores.Workers }, 1, config.MaxWorkers)},
	{"cores.mode", "auto", "turns: generator and workers take turns, and only the workers' turns count; beside: the generator has a further core, and all run in real time; auto: turns.",
		choices[Mode]{ModeAuto, ModeTurns, ModeBeside}.kind(func(s *Scenario) *Mode { return &s.Cores.Mode })},

	{"time.warmup", "200ms", "Time before the measurement begins.",
		duration(func(s *Scenario) *time.Duration { return &s.Time.Warmup }, 0, 10*time.Minute)},
	{"time.duration", "3s", "Time that is measured. In turns it is the worker's own; the generator's comes on top.",
		duration(func(s *Scenario) *time.Duration { return &s.Time.Duration }, time.Millisecond, 24*time.Hour)},

	{"time.rounds", "3", "How often each number of workers is measured with measure scaling, in turns: the median of the rounds' ratios counts.",
		integer(func(s *Scenario) *int { return &s.Time.Rounds }, 1, 99)},

	{"rekey.gateway", "16777216", "Frames that the gateway seals under one key of a connection before it changes it; 0 is not before the cipher wants it. A gateway elsewhere has its own setting.",
		integer(func(s *Scenario) *int { return &s.Rekey.Gateway }, 0, 1<<32)},
	{"rekey.far", "0", "Frames that a far end seals under one key before it changes it; 0 is never. It answers the gateway's changes in any case.",
		integer(func(s *Scenario) *int { return &s.Rekey.Far }, 0, 1<<32)},

	{"disturb.loss", "0", "Percent of the packets that are lost before the gateway, and behind it, on both sides.",
		share(func(s *Scenario) *int { return &s.Disturb.Loss }, 50)},
	{"disturb.reorder", "0", "Percent of the packets to the gateway that come some places later.",
		share(func(s *Scenario) *int { return &s.Disturb.Reorder }, 50)},
	{"disturb.corrupt", "0", "Percent of the frames to the gateway that have a wrong bit, under a TCP checksum that is right.",
		share(func(s *Scenario) *int { return &s.Disturb.Corrupt }, 50)},
	{"disturb.syn_flood", "0", "Percent of the packets, acknowledgements and repetitions not counted, that are forged SYNs without ENO, to the outside port.",
		share(func(s *Scenario) *int { return &s.Disturb.SynFlood }, 90)},
	{"disturb.syn_eno_flood", "0", "The same with ENO.",
		share(func(s *Scenario) *int { return &s.Disturb.SynENOFlood }, 90)},
	{"disturb.churn", "0", "Connections that are closed in order and opened anew, a second.",
		integer(func(s *Scenario) *int { return &s.Disturb.Churn }, 0, 1_000_000)},

	{"measure", "throughput", "throughput: as fast as it goes; loss-free: the largest rate without loss, by binary search (RFC 2544 section 26.1); latency: at shares of that rate; handshakes: connections set up as fast as it goes; scaling: throughput of all workers against that of one.",
		choices[Measure]{Throughput, LossFree, Latency, Handshakes, Scaling}.kind(func(s *Scenario) *Measure { return &s.Measure })},

	{"search.trial", "300ms", "Time of one trial of a search.",
		duration(func(s *Scenario) *time.Duration { return &s.Search.Trial }, time.Millisecond, time.Hour)},
	{"search.loss", "0", "Percent of the packets that a trial may lose.",
		number(func(s *Scenario) *float64 { return &s.Search.Loss }, 0, 50)},
	{"search.resolution", "1", "Percent of the rate to which the search narrows it down.",
		number(func(s *Scenario) *float64 { return &s.Search.Resolution }, 0.1, 50)},
	{"search.loads", "[10, 50, 90]", "Percent of the largest rate at which latency is measured.",
		keyfile.List("1 to 100", func(s *Scenario) *[]int { return &s.Search.Loads }, parsePercent, false, false)},

	{"search.forwarder", "on", "on: with measure latency an io forwarder, which touches no packet, is measured on the same kind of ports at the same rates; off: it is not. It needs the gateway in this process.",
		keyfile.Choice(func(s *Scenario) *bool { return &s.Search.Forwarder }, keyfile.Option[bool]{Word: "on", Is: true}, keyfile.Option[bool]{Word: "off", Is: false})},

	{"limits.loss", "-1", "Percent of the data segments that may be lost for good; -1 is any.",
		number(func(s *Scenario) *float64 { return &s.Limits.Loss }, -1, 100)},
	{"limits.mpps", "0", "Least million packets a second.",
		number(func(s *Scenario) *float64 { return &s.Limits.Mpps }, 0, 1e6)},
	{"limits.goodput_gbps", "0", "Least Gbit/s of payload.",
		number(func(s *Scenario) *float64 { return &s.Limits.GoodputGbps }, 0, 1e6)},
	{"limits.p50", "0s", "Largest median of the latency, of each load; 0 is any.",
		duration(func(s *Scenario) *time.Duration { return &s.Limits.P50 }, 0, time.Minute)},
	{"limits.p99", "0s", "Largest 99th percentile of the latency, of each load; 0 is any.",
		duration(func(s *Scenario) *time.Duration { return &s.Limits.P99 }, 0, time.Minute)},
	{"limits.allocs", "0", "Allocations a packet that are allowed, and 0.001 more for what the Go runtime does by itself; -1 is any.",
		number(func(s *Scenario) *float64 { return &s.Limits.Allocs }, -1, 1e6)},
	{"limits.allocs_total", "-1", "Allocations that are allowed while it is measured, those of the Go runtime itself included; -1 is any.",
		integer(func(s *Scenario) *int { return &s.Limits.AllocsTotal }, -1, 1<<40)},
	{"limits.gc_cycles", "0", "Garbage collections that are allowed while it is measured; -1 is any.",
		integer(func(s *Scenario) *int { return &s.Limits.GCCycles }, -1, 1<<20)},
	{"limits.scaling", "0", "Least throughput of all workers, as a multiple of that of one.",
		number(func(s *Scenario) *float64 { return &s.Limits.Scaling }, 0, 64)},
	{"limits.handshakes", "0", "Least connections that are set up a second.",
		number(func(s *Scenario) *float64 { return &s.Limits.Handshakes }, 0, 1e9)},
}

// table is the table of keys as the reader of files takes it.
var table = func() keyfile.Table[Scenario] {
	t := make(keyfile.Table[Scenario], len(keys))
	for i := range keys {
		t[i] = keyfile.Key[Scenario]{Name: keys[i].name, Kind: keys[i].kind}
	}
	return t
}()

// WriteKeys writes the reference of all keys: name and default, the values that it takes, and what it means.
func WriteKeys(out io.Writer) error {
	var b strings.Builder
	for i := range keys {
		k := &keys[i]
		fmt.Fprintf(&b, "%s: %s\n    %s: %s\n    %s\n", k.name, k.standard, k.kind.Name, k.kind.Allowed, k.help)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func parseSize(s string) (Size, error) {
	bytes, weight, several := strings.Cut(s, ":")
	n, err := strconv.Atoi(bytes)
	if err != nil || n < 1 || n > maxPayload {
		return Size{}, fmt.Errorf("%q is not a size of 1 to %d", bytes, maxPayload)
	}
	w := 1
	if several {
		if w, err = strconv.Atoi(weight); err != nil || w < 1 || w > 16 {
			return Size{}, fmt.Errorf("%q is not a weight of 1 to 16", weight)
		}
	}
	return Size{Bytes: n, Weight: w}, nil
}

// String is the form in which the size is written.
func (s Size) String() string {
	if s.Weight == 1 {
		return strconv.Itoa(s.Bytes)
	}
	return fmt.Sprintf("%d:%d", s.Bytes, s.Weight)
}

func parseAEAD(s string) (tcpcrypt.AEAD, error) {
	for _, a := range tcpcrypt.AEADs() {
		if a.String() == s {
			return a, nil
		}
	}
	return 0, fmt.Errorf("%q is no cipher: want AES_128_GCM, AES_256_GCM or CHACHA20_POLY1305", s)
}

func parsePercent(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 100 {
		return 0, fmt.Errorf("%q is not a number of 1 to 100", s)
	}
	return n, nil
}

func parseArgument(s string) (string, error) {
	if s == "" {
		return "", errors.New("an argument is empty")
	}
	return s, keyfile.Plain(s)
}
