package main

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"linecrypt/bench/cores"
)

// divideCores chooses a core for the worker and another one for all threads that this process has, and so for all that they start. It is one,
// so that several who look do so one after the other, and each finds what the worker has written since.
func divideCores() (worker int, err error) {
	allowed, err := cores.Allowed()
	if err != nil {
		return 0, err
	}
	if len(allowed) < 2 {
		return 0, errors.New("needs two cores: one for the worker, and one for those who look")
	}
	var rest unix.CPUSet
	rest.Set(allowed[1])
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err == nil {
			err = unix.SchedSetaffinity(id, &rest)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return 0, err
		}
	}
	return allowed[0], nil
}
