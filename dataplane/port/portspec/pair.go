package portspec

import (
	"errors"
	"fmt"
	"slices"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/spread"
)

// Pair is the two ports of a gateway, open.
type Pair struct {
	Ports [2]port.Port // in the order of their specs
	// Spread says why the workers share out in software what each port's one queue receives. It is empty where the devices spread
	// connections over queues by themselves, and for one worker.
	Spread string
}

// SideError is the failure of one port of a pair.
type SideError struct {
	Side int // which one
	Err  error
}

// Error implements error.
func (e *SideError) Error() string { return e.Err.Error() }

// Unwrap returns the failure.
func (e *SideError) Unwrap() error { return e.Err }

// OpenPair opens the two ports of a gateway so that both directions of a connection come to the same worker. Where the devices do
// that themselves, each port has a queue of its device for each worker. Where one of them does not (it has one queue, or spreads
// otherwise than the other), both are opened with one queue and a spreader (package spread). The caches of cfg, one for each worker, then lie over
// one pool that any thread may use. An error is a SideError; no port is open then.
func OpenPair(specs [2]Spec, cfg port.Config) (Pair, error) {
	return openPair(specs, cfg, Open)
}

// opener is Open, or a test's.
type opener func(Spec, port.Config) (port.Port, error)

func openPair(specs [2]Spec, cfg port.Config, open opener) (Pair, error) {
	why := ""
	if cfg.Queues > 1 {
		why = foreseen(specs)
	}
	if why == "" {
		pair, err := openBoth(specs, cfg, open)
		if cfg.Queues > 1 {
			why = seen(pair.Ports, err)
		}
		if why == "" {
			return pair, err
		}
		if err := pair.close(); err != nil {
			return Pair{}, &SideError{0, err}
		}
	}
	pair, err := openSpread(specs, cfg, open)
	pair.Spread = why
	return pair, err
}

// foreseen says why ports cannot spread alike, where their specs tell.
func foreseen(specs [2]Spec) string {
	for _, s := range specs {
		if s.AFXDP() {
			return fmt.Sprintf("%s has one queue", s)
		}
	}
	if specs[0].Kind != specs[1].Kind {
		return fmt.Sprintf("%s and %s spread connections differently", specs[0], specs[1])
	}
	return ""
}

// seen says why they do not, from how opening them went. It is empty where they do, and where what failed has another cause.
func seen(ports [2]port.Port, err error) string {
	if errors.Is(err, port.ErrFewQueues) {
		return err.Error()
	}
	for _, p := range ports {
		if err == nil && !p.Caps().RSS {
			return fmt.Sprintf("port %s does not spread connections over its queues", p.Name())
		}
	}
	return ""
}

// openBoth opens both ports or none.
func openBoth(specs [2]Spec, cfg port.Config, open opener) (pair Pair, err error) {
	for i, s := range specs {
		if pair.Ports[i], err = open(s, cfg); err != nil {
			pair.Ports[i] = nil
			return Pair{}, &SideError{i, errors.Join(err, pair.close())}
		}
	}
	return pair, nil
}

// openSpread opens both ports with one queue each, and a spreader on top.
func openSpread(specs [2]Spec, cfg port.Config, open opener) (pair Pair, err error) {
	hash, err := spread.NewHash()
	if err != nil {
		return Pair{}, &SideError{0, err}
	}
	for i, s := range specs {
		if pair.Ports[i], err = openOne(s, cfg, hash, open); err != nil {
			pair.Ports[i] = nil
			return Pair{}, &SideError{i, errors.Join(err, pair.close())}
		}
	}
	return pair, nil
}

func openOne(s Spec, cfg port.Config, hash *spread.Hash, open opener) (port.Port, error) {
	one, workers := cfg, cfg.Caches
	cache := mbuf.NewShare(workers[0].Pool(), len(workers))
	one.Queues, one.Caches = 1, []*mbuf.Cache{cache}
	dev, err := open(s, one)
	if err != nil {
		return nil, err
	}
	p, err := spread.New(dev, cache, workers, hash, spread.Options{})
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return p, nil
}

func (p *Pair) close() error {
	var errs []error
	for _, o := range slices.Backward(p.Ports[:]) {
		if o != nil {
			errs = append(errs, o.Close())
		}
	}
	return errors.Join(errs...)
}
