//go:build dpdk && cgo

package dpdk

import (
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// driverSockets lists the process's open packet sockets (AF_XDP and AF_PACKET), in ascending order. Drivers keep theirs to
// themselves, but a worker that sleeps when idle has to wait for them.
func driverSockets() []int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	var fds []int
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err == nil && (domain == unix.AF_XDP || domain == unix.AF_PACKET) {
			fds = append(fds, fd)
		}
	}
	slices.Sort(fds)
	return fds
}

// newSockets returns those of after that are not in before.
func newSockets(before, after []int) []int {
	return slices.DeleteFunc(slices.Clone(after), func(fd int) bool { return slices.Contains(before, fd) })
}
