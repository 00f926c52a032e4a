package packetpath

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"linecrypt/bench/ram"
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/dataplane/gateway"
	"linecrypt/dataplane/hugepages"
	"linecrypt/flowtable"
)

// ErrMemory means that the machine has too little free memory for so many flows.
var ErrMemory = errors.New("too little memory")

// keptBytes is what the translator holds at most of its own for each place in the ledger, in bytes, and spareMemory what is left to
// everything else.
const (
	keptBytes   = 16
	spareMemory = 512 << 20
)

// Memory returns what a World of so many flows and one worker takes at most of reserved huge pages, in bytes.
func Memory(flows int) uint64 {
	cfg := settings(flows)
	segment, private := gateway.Memory(cfg)
	return uint64(segment) + uint64(private) + keptMemory(gateway.Layout(cfg)) + partlyUsed
}

// keptMemory is what the translator holds at most of its own for the places in a ledger, in bytes.
func keptMemory(l flowtable.Layout) uint64 {
	return uint64(l.Chunks) * flowtable.EntryStride * keptBytes
}

// partlyUsed is what is left of the last page of each mapping, at most, in bytes.
const partlyUsed = 8 * 2 << 20

// segmentDir is a folder in memory where there is one.
func segmentDir() string {
	const shared = "/dev/shm"
	if st, err := os.Stat(shared); err == nil && st.IsDir() && unix.Access(shared, unix.W_OK) == nil {
		return shared
	}
	return os.TempDir()
}

// enoughMemory refuses a world that does not fit, before it takes the memory from others. Reserved is what is free in reserved huge
// pages that the world may use, in bytes.
func enoughMemory(dir string, l flowtable.Layout, keys, workers int, reserved uint64) error {
	segment := uint64(workers) * uint64(flowtable.Size(l))
	need := segment + uint64(workers)*(uint64(keys)*cryptobatch.KeySize+keptMemory(l)) + spareMemory
	if free := ram.Available() + reserved; free < need {
		return fmt.Errorf("%w: %d MiB are needed, %d MiB are available", ErrMemory, need>>20, free>>20)
	}
	if segment <= reserved {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if free := st.Bavail * uint64(st.Bsize); free < segment {
		return fmt.Errorf("%w: a segment of %d MiB does not fit in %s, which has %d MiB free", ErrMemory, segment>>20, dir, free>>20)
	}
	return nil
}

// freeReserved returns the bytes in reserved huge pages that nobody uses.
func freeReserved() uint64 {
	st, err := hugepages.Read("/")
	if err != nil {
		return 0
	}
	return st.FreeBytes()
}

// settings are those of a gateway with so many flows.
func settings(flows int) *config.Config {
	cfg := config.Default()
	cfg.Name = fmt.Sprintf("packetpath-%d", os.Getpid())
	cfg.Flows.Max = max(flows, 64)
	return cfg
}
