package portspec

import (
	"errors"
	"fmt"

	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/afpacket"
	"linecrypt/dataplane/port/afxdp"
)

// ErrNoDPDK is why a dpdk port cannot be opened by a binary built without the tag dpdk.
var ErrNoDPDK = errors.New("this binary was built without DPDK: build it with `make build`, or `go build -tags dpdk` with cgo")

// Open opens the port that spec names. For a dpdk port EAL must have been started and cfg's caches lie over its pools.
func Open(spec Spec, cfg port.Config) (port.Port, error) {
	switch spec.Kind {
	case Packet:
		p, err := afpacket.Open(spec.Device, cfg)
		if err != nil {
			return nil, fmt.Errorf("port %s: %w", spec, err)
		}
		return p, nil
	case XDP:
		p, err := afxdp.Open(spec.Device, cfg)
		if err != nil {
			return nil, fmt.Errorf("port %s: %w", spec, err)
		}
		return p, nil
	case DPDK:
		p, err := openDPDK(spec.Device, cfg)
		if err != nil {
			return nil, fmt.Errorf("port %s: %w", spec, err)
		}
		return p, nil
	default:
		return nil, fmt.Errorf("port %s: unknown kind", spec)
	}
}
