package crypto

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// cores returns the core to measure on, the last that this process may use, and another one for what must run beside, the
// same where there is no other.
func cores() (measured, beside int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0, 0, fmt.Errorf("allowed cores: %w", err)
	}
	measured, beside = -1, -1
	for i := range len(set) * 64 {
		if !set.IsSet(i) {
			continue
		}
		if beside < 0 {
			beside = i
		}
		measured = i
	}
	if measured < 0 {
		return 0, 0, errors.New("allowed cores: none")
	}
	return measured, beside, nil
}

// pin keeps the calling goroutine on a core until undo is called.
func pin(core int) (undo func(), err error) {
	runtime.LockOSThread()
	var before unix.CPUSet
	if err = unix.SchedGetaffinity(0, &before); err == nil {
		err = pinProcess(0, core)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	return func() {
		// A thread that cannot be freed stays locked, and so ends with its goroutine instead of serving others.
		if unix.SchedSetaffinity(0, &before) == nil {
			runtime.UnlockOSThread()
		}
	}, nil
}

// pinProcess keeps a process of one thread on a core; 0 is the calling thread.
func pinProcess(pid, core int) error {
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(pid, &set); err != nil {
		return fmt.Errorf("pin to core %d: %w", core, err)
	}
	return nil
}
