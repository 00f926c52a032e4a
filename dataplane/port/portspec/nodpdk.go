//go:build !dpdk || !cgo

package portspec

import "linecrypt/dataplane/port"

// HasDPDK says whether this binary can open dpdk ports.
const HasDPDK = false

func openDPDK(string, port.Config) (port.Port, error) { return nil, ErrNoDPDK }
