package pktgen

import (
	"context"
	"errors"
	"fmt"

	"linecrypt/bench/pktgen/scenario"
	"linecrypt/dataplane/garbage"
)

// Forwarder is what an io forwarder does on the same kind of ports, at the same rate of packets.
type Forwarder struct {
	Mpps float64 `json:"mpps"`
	Loss float64 `json:"packet_loss"` // percent
	Latency
}

// Ratio is a gateway's latency as a multiple of a forwarder's.
type Ratio struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// variant is the plan of a run beside the scenario's own, of a scenario that is nearly the same and takes no more of the machine.
func (p *plan) variant(change func(sc *scenario.Scenario)) (*plan, error) {
	if p.kind == scenario.PortsRings {
		if _, err := p.startEAL(false); err != nil {
			return nil, err
		}
	}
	q, sc := *p, *p.sc
	change(&sc)
	q.sc, q.master = &sc, masterOf(&sc)
	var err error
	if q.cfg, err = gatewayConfig(&sc); err == nil {
		err = q.takeCores()
	}
	return &q, err
}

// compareWithForwarder measures an io forwarder at the rates at which the gateway was measured, in the same run. Its connections are
// plain: it translates nothing.
func (p *plan) compareWithForwarder(ctx context.Context, res *Result, l *live) error {
	q, err := p.variant(func(sc *scenario.Scenario) {
		sc.Traffic.Plain, sc.Traffic.Keys = 100, scenario.KeysShared
		sc.Cores.Workers, sc.Ports.Queues = 1, scenario.OneQueue
		sc.Disturb = scenario.Disturb{}
	})
	if err != nil {
		return err
	}
	q.against = true
	d, err := q.driver()
	if err != nil {
		return err
	}
	return drive(ctx, q.sc, d, l, func(r *run) error { return r.forward(res) })
}

// forward measures latency at the rates of a gateway's loads.
func (r *run) forward(res *Result) error {
	if err := r.open(); err != nil {
		return err
	}
	defer garbage.Hold()()
	e := r.d.load()
	r.trial(res.rate*float64(res.Loads[0].Percent)/100, r.sc.Time.Warmup, "forwarder warming up")
	for i := range res.Loads {
		load := &res.Loads[i]
		s := r.trial(res.rate*float64(load.Percent)/100, r.sc.Time.Duration, fmt.Sprintf("forwarder at %d %%", load.Percent))
		if r.ctx.Err() != nil {
			res.Incomplete = true
			break
		}
		var now Result
		if now.fill(r.sc, &s); now.Latency == nil {
			continue
		}
		load.Forwarder = &Forwarder{Mpps: now.Mpps, Loss: now.PacketLoss, Latency: *now.Latency}
		if f := load.Forwarder; f.P50 > 0 && f.P99 > 0 {
			load.OverForwarder = &Ratio{P50: round(load.P50/f.P50, 2), P99: round(load.P99/f.P99, 2)}
		}
	}
	if e.Wrong > 0 {
		res.Failures = append(res.Failures, fmt.Sprintf("forwarder: %d packets are not what they should be: %v", e.Wrong, errors.Join(e.Faults()...)))
	}
	return nil
}
