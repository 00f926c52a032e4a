package stream

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// scenarios are what a path can do to segments, and hosts to their streams.
var scenarios = []struct {
	name         string
	wire, inside impairment
	slow, zero   bool
	one          bool // the hosts write byte by byte now and then
	up, down     int
}{
	{name: "loss", wire: impairment{loss: 0.05}, up: 60000, down: 60000},
	{name: "heavy loss", wire: impairment{loss: 0.25}, up: 15000, down: 15000},
	{name: "reorder", wire: impairment{reorder: 0.3}, up: 80000, down: 80000},
	{name: "duplicates", wire: impairment{dup: 0.3, reorder: 0.1}, up: 60000, down: 60000},
	{name: "resegmented", wire: impairment{split: 0.5}, up: 60000, down: 60000},
	{name: "single bytes", wire: impairment{split: 0.8, oneByte: 0.5}, up: 20000, down: 20000},
	{name: "resegmented and lossy", wire: impairment{split: 0.4, loss: 0.05, reorder: 0.1, dup: 0.05}, up: 40000, down: 40000},
	{name: "loss inside", inside: impairment{loss: 0.05}, up: 40000, down: 40000},
	{name: "reorder inside", inside: impairment{reorder: 0.2, dup: 0.1}, up: 40000, down: 40000},
	{name: "loss everywhere", wire: impairment{split: 0.3, loss: 0.04}, inside: impairment{loss: 0.04, reorder: 0.05}, up: 30000, down: 30000},
	{name: "slow readers", slow: true, up: 150000, down: 150000},
	{name: "slow readers and loss", slow: true, wire: impairment{loss: 0.03, split: 0.2}, inside: impairment{loss: 0.02}, up: 100000, down: 100000},
	{name: "window probes with data", slow: true, zero: true, wire: impairment{loss: 0.02}, up: 100000, down: 100000},
	{name: "empty streams", wire: impairment{loss: 0.3}, up: 0, down: 0},
	{name: "one way", wire: impairment{loss: 0.05, split: 0.2}, up: 0, down: 60000},
}

func TestStreamsArriveUnchangedOverImpairedPaths(t *testing.T) {
	for i, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			for seed := range uint64(seeds()) {
				ok := t.Run(fmt.Sprint(seed), func(t *testing.T) {
					p := newPair(t, seed*100+uint64(i), pattern(1, s.up), pattern(2, s.down), nil)
					for _, g := range []*gateway{p.a, p.b} {
						g.wire, g.insideL = &s.wire, &s.inside
					}
					p.client.link, p.server.link = &s.inside, &s.inside
					p.client.slow, p.server.slow = s.slow, s.slow
					p.client.probeData, p.server.probeData = s.zero, s.zero
					p.start()
					p.finish()
				})
				if !ok {
					return
				}
			}
		})
	}
}

func seeds() int {
	if n, err := strconv.Atoi(os.Getenv("LINECRYPT_SEEDS")); err == nil {
		return n
	}
	return 6
}
