// Package harden makes a process that holds keys harder to read: no core dump and no debugger of the same user, and no
// page of it on a swap device. Both processes call it first thing.
//
// It is not a sandbox: it limits neither files nor system calls. It owns no memory.
package harden

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNotLocked is wrapped by the error of Process where the process is not dumpable any more but its memory could not be
// locked, as happens to a user without privileges: worth a warning, no reason to stop.
var ErrNotLocked = errors.New("memory is not locked and may reach a swap device")

// Process makes the calling process non-dumpable, which also keeps other processes of its user away from its memory, sets
// its core size to 0 for the case that it becomes dumpable again, and locks its memory, that of later mappings as pages
// are first touched. An error that wraps ErrNotLocked is about the last step alone.
func Process() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make process non-dumpable: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	return lock()
}

// lock does nothing where a limit applies: a later mapping beyond it would fail, which the Go runtime does not survive.
// Without MCL_ONFAULT the kernel would populate all that the runtime reserves.
func lock() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("read limit of locked memory: %w: %w", err, ErrNotLocked)
	}
	if limit.Max != unix.RLIM_INFINITY && !unlimited() {
		return fmt.Errorf("limit of %d bytes: %w", limit.Max, ErrNotLocked)
	}
	limit.Cur = limit.Max
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("raise limit of locked memory: %w: %w", err, ErrNotLocked)
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("lock memory: %w: %w", err, ErrNotLocked)
	}
	return nil
}

// unlimited reports CAP_IPC_LOCK, which lifts the limit, but in the initial user namespace only.
func unlimited() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil || data[0].Effective&(1<<unix.CAP_IPC_LOCK) == 0 {
		return false
	}
	ids, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(ids)), " ") == "0 0 4294967295"
}
