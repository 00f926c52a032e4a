//go:build dpdk && cgo

package dpdk

// #include <stdint.h>
import "C"

import (
	"fmt"

	"linecrypt/dataplane/port"
)

// Adopt opens the device with DPDK's number id, which another function of DPDK's made (package rings does), as Open opens one that it
// probes. Name is what errors call it. The port owns the device: Close removes it.
func Adopt(id uint16, name string, cfg port.Config) (port.Port, error) {
	d := &device{name: name, id: C.uint16_t(id)}
	pools, err := poolsOf(cfg)
	if err == nil {
		err = d.start(pools)
	}
	if err != nil {
		return nil, fmt.Errorf("dpdk port %s: %w", name, err)
	}
	return d, nil
}
