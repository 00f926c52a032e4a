//go:build dpdk && cgo

package dpdk

// #include <stdint.h>
import "C"

import (
	"errors"
	"fmt"

	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/netif"
)

// Adopt opens the device with DPDK's number id, which another function of DPDK's made (package rings does), as Open opens one that it
// probes. Name is what errors call it. The port owns the device: Close removes it.
func Adopt(id uint16, name string, cfg port.Config) (port.Port, error) {
	d := &device{name: name}
	if err := d.adopt(id, cfg); err != nil {
		return nil, fmt.Errorf("dpdk port %s: %w", name, errors.Join(err, d.close()))
	}
	return d, nil
}

func (d *device) adopt(id uint16, cfg port.Config) (err error) {
	if d.pools, err = poolsOf(cfg); err != nil {
		return err
	}
	if err := d.makeQueues(); err != nil {
		return err
	}
	e := &ethdev{id: C.uint16_t(id)}
	if err := e.start(d.pools, func(int) int { return cfg.MTU }); err != nil {
		return err
	}
	return d.use(&attachment{devices: []*ethdev{e}, pools: d.pools}, netif.Interface{})
}
