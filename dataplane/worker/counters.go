package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/stream"
)

// Counters of the worker's own, besides those that package shm names.
const (
	DropOptions = shm.WorkerBase + iota
	DropClosing
	DropRxNoBuffer
	DropRxMissed
	DropRxTruncated
	DropTxError
	SetupOverload
	RequestsDeferred
	endCounters
)

var counterInfos = [endCounters - shm.WorkerBase][2]string{
	DropOptions - shm.WorkerBase:      {"drop_options", "segments of encrypted flows with malformed TCP options"},
	DropClosing - shm.WorkerBase:      {"drop_closing", "stragglers of connections that are over"},
	DropRxNoBuffer - shm.WorkerBase:   {"drop_rx_no_buffer", "packets lost at a port because no buffer was free"},
	DropRxMissed - shm.WorkerBase:     {"drop_rx_missed", "packets lost at a port because the worker was too slow"},
	DropRxTruncated - shm.WorkerBase:  {"drop_rx_truncated", "packets shorter than a link-layer header, or cut off by the kernel"},
	DropTxError - shm.WorkerBase:      {"drop_tx_error", "packets that the kernel or the device refused to send"},
	SetupOverload - shm.WorkerBase:    {"setup_overload", "connections left plain or refused because too many were being set up"},
	RequestsDeferred - shm.WorkerBase: {"requests_deferred", "requests for which the ring had no room at once"},
}

// CounterTable returns the one table that names every counter of a data plane: those of package shm, the worker's and the
// translator's.
func CounterTable() (*shm.Table, error) {
	own := shm.GroupOf(shm.WorkerBase, len(counterInfos), func(i int) (string, string) {
		return counterInfos[i][0], counterInfos[i][1]
	})
	translator := shm.GroupOf(shm.StreamBase, int(stream.NumCounters), func(i int) (string, string) {
		info := stream.Counter(i).Info()
		return info.Name, info.Help
	})
	return shm.NewTable(own, translator)
}

// streamCounters are the translator's places in a block.
func streamCounters(b *shm.Block) *[stream.NumCounters]uint64 {
	return (*[stream.NumCounters]uint64)(b.Range(shm.StreamBase, int(stream.NumCounters)))
}
