// Package ram says how much memory a bench can have.
package ram

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// unknown is more than any machine has.
const unknown = 1 << 62

// Available is what the kernel says can be had without swapping, in bytes (MemAvailable, proc(5)), and no more than control groups allow.
// Where neither says anything, that is more than any machine has, so that nobody is refused what may be there.
func Available() uint64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return unknown
	}
	defer f.Close()
	return min(available(f), allowed("/"))
}

func available(meminfo io.Reader) uint64 {
	for lines := bufio.NewScanner(meminfo); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:")
		if !ok {
			continue
		}
		var kib uint64
		if _, err := fmt.Sscan(rest, &kib); err == nil && kib < unknown>>10 {
			return kib << 10
		}
	}
	return unknown
}
