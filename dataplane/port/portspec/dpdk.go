//go:build dpdk && cgo

package portspec

import (
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/dpdk"
)

// HasDPDK says whether this binary can open dpdk ports.
const HasDPDK = true

func openDPDK(device string, cfg port.Config) (port.Port, error) { return dpdk.Open(device, cfg) }
