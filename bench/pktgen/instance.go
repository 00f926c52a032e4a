package pktgen

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"

	"linecrypt/bench/pktgen/scenario"
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/gateway"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/flowtable"
)

// instance is a gateway in this process, with its control plane.
type instance struct {
	dir     string
	data    *gateway.Gateway
	control *control
}

// gatewayConfig is the configuration of the gateway for a scenario.
func gatewayConfig(sc *scenario.Scenario) (*config.Config, error) {
	c := config.Default()
	for _, kv := range [][2]string{
		{"name", "bench-" + strconv.Itoa(os.Getpid())},
		{"flows.max", strconv.Itoa(tableFlows(sc))},
		{"buffers.memory", strconv.Itoa(gatewayBuffers(sc) * mbuf.BufferSize(mbuf.DefaultDataRoom))},
		// The far ends of package ends do not change keys.
		{"rekey.frames", "0"}, {"rekey.bytes", "0"},
	} {
		if err := c.Set("bench", kv[0], kv[1]); err != nil {
			return nil, err
		}
	}
	return c, c.Validate()
}

// lingering is for how long, in seconds, a connection that is over has a record yet, with some to spare.
const lingering = 20

// tableFlows is how many connections the gateway's table must hold.
func tableFlows(sc *scenario.Scenario) int {
	n := sc.Traffic.Flows + sc.Traffic.Flows/16 + 1024 + lingering*sc.Disturb.Churn
	return min(n, 1<<22)
}

// gatewayBuffers is how many packet buffers the gateway needs: what it has by default, and more where many frames may be in flight.
func gatewayBuffers(sc *scenario.Scenario) int {
	const standard = (64 << 20) / 2304
	pending := max(sc.Traffic.AckEvery-1, 0)
	if sc.Traffic.Run >= sc.Traffic.AckEvery && sc.Traffic.Run%sc.Traffic.AckEvery == 0 {
		pending = 0 // a connection's turn ends with an acknowledgement
	}
	inFlight := sc.Traffic.Flows * pending
	if sc.Disturb.Disturbed() {
		inFlight = sc.Traffic.Flows * min(sc.Traffic.Window, 64)
	}
	return min(max(standard, 2*inFlight+standard/2), (8<<30)/2304)
}

// newInstance makes the gateway over two open ports, and its control plane.
func newInstance(sc *scenario.Scenario, cfg *config.Config, in, out port.Port, cache *mbuf.Cache, core int, engine cryptobatch.Engine, shared *tcpcrypt.MasterKey) (i *instance, err error) {
	i = new(instance)
	defer func() {
		if err != nil {
			err = errors.Join(err, i.close())
		}
	}()
	if i.dir, err = os.MkdirTemp(segmentFolder(), "linecrypt-bench-"); err != nil {
		return i, fmt.Errorf("folder for the segment: %w", err)
	}
	i.data, err = gateway.New(gateway.Options{
		Config: cfg, SegmentDir: i.dir, Inside: in, Outside: out, Caches: []*mbuf.Cache{cache}, Cores: []int{core}, Engine: engine,
	})
	if err != nil {
		return i, err
	}
	i.control, err = newControl(i.dir, cfg, sc.Traffic.AEAD, shared)
	return i, err
}

// counters are the worker's.
func (i *instance) counters() *shm.Block { return i.data.Segment().Worker(0).Counters }

func (i *instance) close() error {
	if i == nil {
		return nil
	}
	errs := []error{i.control.close()}
	if i.data != nil {
		errs = append(errs, i.data.Close())
	}
	if i.dir != "" {
		errs = append(errs, os.RemoveAll(i.dir))
	}
	return errors.Join(errs...)
}

// masterOf returns the master key that connections share, nil where each agrees on its own.
func masterOf(sc *scenario.Scenario) *tcpcrypt.MasterKey {
	if sc.Agreed() || sc.Ports.Kind == scenario.PortsDevice {
		return nil
	}
	k := new(tcpcrypt.MasterKey)
	_, _ = rand.Read(k[:])
	return k
}

const (
	inside  = flowtable.Inside
	outside = flowtable.Outside
)
