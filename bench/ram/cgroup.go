package ram

import (
	"math"
	"os"
	"path"
	"strconv"
	"strings"
)

// allowed is what the control groups of this process leave it, in bytes: the least of its own and those above it (cgroups(7)). A container has
// such a limit, and /proc/meminfo is the machine's there. Root is the folder that /proc and /sys are in.
func allowed(root string) uint64 {
	groups, err := os.ReadFile(path.Join(root, "proc/self/cgroup"))
	if err != nil {
		return unknown
	}
	least := uint64(unknown)
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		mount, limit, usage, cached := "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
		switch {
		case parts[0] == "0" && parts[1] == "":
			mount, limit, usage, cached = "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
		case parts[1] != "memory":
			continue
		}
		for group := path.Join("/", parts[2]); ; group = path.Dir(group) {
			dir := path.Join(root, mount, group)
			if most := number(dir, limit); most < unknown {
				taken := number(dir, usage)
				taken -= min(field(dir, cached), taken)
				least = min(least, most-min(taken, most))
			}
			if group == "/" {
				break
			}
		}
	}
	return least
}

// number reads a file that holds one; where there is none ("max" is none), it is unknown.
func number(dir, file string) uint64 {
	text, err := os.ReadFile(path.Join(dir, file))
	if err != nil {
		return unknown
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return unknown
	}
	return n
}

// field reads a line of a group's memory.stat, 0 where there is none.
func field(dir, name string) uint64 {
	text, err := os.ReadFile(path.Join(dir, "memory.stat"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
			if err != nil || n > math.MaxInt64 {
				return 0
			}
			return n
		}
	}
	return 0
}
