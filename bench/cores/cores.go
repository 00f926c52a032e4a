// Package cores chooses cores for what is measured and keeps threads and processes on them. Linux alone.
package cores

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Allowed returns the numbers of the cores that this process may use, in ascending order, at least one.
func Allowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("allowed cores: %w", err)
	}
	var cores []int
	for i := range len(set) * 64 {
		if set.IsSet(i) {
			cores = append(cores, i)
		}
	}
	if len(cores) == 0 {
		return nil, errors.New("allowed cores: none")
	}
	return cores, nil
}

// Check refuses cores that this process may not use.
func Check(cores []int) error {
	allowed, err := Allowed()
	if err != nil {
		return err
	}
	for _, core := range cores {
		if !slices.Contains(allowed, core) {
			return fmt.Errorf("core %d: this process may use %s", core, strings.Trim(fmt.Sprint(allowed), "[]"))
		}
	}
	return nil
}

// Choose returns the core to measure on, the last that this process may use, and another one for what must run beside, the same where
// there is no other.
func Choose() (measured, beside int, err error) {
	cores, err := Allowed()
	if err != nil {
		return 0, 0, err
	}
	return cores[len(cores)-1], cores[0], nil
}

// Pin keeps the calling goroutine on a core until undo is called.
func Pin(core int) (undo func(), err error) {
	runtime.LockOSThread()
	var before unix.CPUSet
	if err = unix.SchedGetaffinity(0, &before); err == nil {
		err = PinProcess(0, core)
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

// PinProcess keeps a process of one thread on a core; 0 is the calling thread.
func PinProcess(pid, core int) error {
	var set unix.CPUSet
	set.Set(core)
	if err := unix.SchedSetaffinity(pid, &set); err != nil {
		return fmt.Errorf("pin to core %d: %w", core, err)
	}
	return nil
}
