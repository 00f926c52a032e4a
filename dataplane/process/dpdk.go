//go:build dpdk && cgo

package process

import (
	"fmt"
	"log/slog"

	"linecrypt/ctrlplane/config"
	"linecrypt/dataplane/gateway"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port/dpdk"
	"linecrypt/dataplane/port/portspec"
)

// Buffers that drivers keep for themselves, beside those that the configuration counts: receive and completion rings of two
// ports, and what they cache for each thread. Where workers share one queue of each port, those of the other queues are for the rings
// between workers (2 * (spread.DefaultRx + spread.DefaultTx) a worker).
const (
	driverPerQueue  = 2 * 6144
	driverPerThread = 1024
	// xdpPerQueue is for each receive queue beyond the first of the interface below a port of net_af_xdp: a fill ring, and what is on its way.
	xdpPerQueue = 2048 + 512
)

// dpdkRoom returns how large buffers are for a DPDK port that carries IP packets of mtu bytes.
func dpdkRoom(device string, mtu int) int { return dpdk.DataRoom(device, mtu) }

// xdpRoom returns how large buffers may be for a port of net_af_xdp.
func xdpRoom() int { return dpdk.XDPDataRoom() }

// dpdkPool starts EAL and makes the pool of all workers, of buffers with room bytes each. RxQueues tells how many receive queues an
// interface has.
func dpdkPool(cfg *config.Config, specs [2]portspec.Spec, workers, room int, rxQueues func(string) int, log *slog.Logger) (mbuf.Pool, error) {
	n := workers * (gateway.Buffers(cfg, room) + driverPerQueue + driverPerThread)
	for _, spec := range specs {
		if spec.DPDKAFXDP() {
			n += xdpPerQueue * (min(dpdk.XDPQueues(spec.Device, rxQueues(spec.Interface())), dpdk.MaxXDPQueues) - 1)
		}
	}
	mem := cfg.DPDK.MemoryMB
	if mem == 0 {
		mem = dpdk.MemMB(n, room)
	}
	info, err := dpdk.Init(dpdk.Options{
		Name: cfg.Name, MemMB: mem, PCI: specs[0].PCI || specs[1].PCI, Args: cfg.DPDK.EAL,
	})
	if err != nil {
		return nil, cfg.Err("dpdk.eal", err)
	}
	log.Info("EAL is up", "version", info.Version, "hugepages", info.HugePages, "without", info.Reason, "memory_mb", info.MemMB)
	pool, err := dpdk.NewPool("packets", n, room)
	if err != nil {
		return nil, cfg.Err("buffers.memory", fmt.Errorf("pool of %d buffers: %w", n, err))
	}
	return pool, nil
}
