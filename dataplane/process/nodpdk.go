//go:build !dpdk || !cgo

package process

import (
	"log/slog"

	"linecrypt/ctrlplane/config"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port/portspec"
)

// What follows is for binaries with DPDK.

func dpdkPool(*config.Config, [2]portspec.Spec, int, int, func(string) int, *slog.Logger) (mbuf.Pool, error) {
	return nil, portspec.ErrNoDPDK
}

func dpdkRoom(string, int) int { return 0 }

func xdpRoom() int { return mbuf.DefaultDataRoom }
