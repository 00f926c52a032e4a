//go:build dpdk && cgo

package dpdk

/*
#include <rte_eal.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/netif"
)

// MaxXDPQueues bounds the receive queues of an interface that an AF_XDP port serves, each of which takes 2048 buffers at least.
const MaxXDPQueues = 16

// prepareXDP sees that an AF_XDP port can be opened on an interface, and returns the devices to open: one for each of the
// interface's receive queues, because packets of a queue that nobody serves go to the kernel. Device arguments that name queues,
// or a program that chooses them, are taken at their word.
func (d *device) prepareXDP(i netif.Interface) ([]string, error) {
	if len(d.pools) > 1 {
		return nil, fmt.Errorf("net_af_xdp has one queue, not %d: %w", len(d.pools), port.ErrFewQueues)
	}
	if err := d.checkUMEM(); err != nil {
		return nil, err
	}
	if err := d.kernel.XDPUsed(i); err != nil {
		return nil, err
	}
	n := d.kernel.RxQueues(i.Name)
	d.rxQueues = n
	names := xdpDevices(d.name, n)
	if len(names) > MaxXDPQueues {
		return nil, fmt.Errorf("interface %s has %d receive queues, of which an AF_XDP port serves %d at most: %s",
			d.iface, n, MaxXDPQueues, d.kernel.QueuesHint(i.Name, 1))
	}
	return names, netif.XDPRights(uint64(len(names)) * d.umemBytes())
}

// umemBytes is the memory that one AF_XDP socket shares with the kernel: the pool.
func (d *device) umemBytes() uint64 {
	return uint64(d.pools[0].size) * uint64(objectOverhead+d.pools[0].dataRoom)
}

// XDPQueues returns how many receive queues of an interface that has n of them an AF_XDP port of that name serves.
func XDPQueues(device string, n int) int { return len(xdpDevices(device, n)) }

// xdpDevices returns the names of the devices that serve the n receive queues of an interface.
func xdpDevices(device string, n int) []string {
	name, args, _ := strings.Cut(device, ",")
	var kept []string
	start, count := 0, 0
	for arg := range strings.SplitSeq(args, ",") {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "xdp_prog":
			return []string{device}
		case "start_queue":
			start, _ = strconv.Atoi(value)
		case "queue_count":
			count, _ = strconv.Atoi(value)
		default:
			kept = append(kept, arg)
		}
	}
	if count == 0 {
		count = n - start
	}
	if count <= 1 {
		return []string{device}
	}
	var names []string
	for q := range count {
		suffix := ""
		if q > 0 {
			suffix = fmt.Sprintf("_q%d", q)
		}
		names = append(names, fmt.Sprintf("%s%s,%s,start_queue=%d", name, suffix, strings.Join(kept, ","), start+q))
	}
	return names
}

// checkUMEM sees that net_af_xdp can lay its UMEM over the pools: one object is one chunk, see XDPDataRoom.
func (d *device) checkUMEM() error {
	const minChunk = 2048 // XDP_UMEM_MIN_CHUNK_SIZE
	if C.rte_eal_iova_mode() != C.RTE_IOVA_VA {
		return errors.New("net_af_xdp needs virtual I/O addresses, but a physical device made EAL choose physical ones")
	}
	for _, p := range d.pools {
		if chunk := objectOverhead + p.dataRoom; chunk < minChunk || chunk > os.Getpagesize() {
			return fmt.Errorf("net_af_xdp cannot use buffers of %d bytes", p.dataRoom)
		}
	}
	return nil
}
