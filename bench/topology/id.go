package topology

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
)

// serial numbers the topologies of this process.
var serial atomic.Uint32

// newID returns a name that no other topology on this machine has: that of the owning process, by number and start time,
// and a count.
func newID() (string, error) {
	start, err := startTime(os.Getpid())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("lc-%d-%s-%d", os.Getpid(), strconv.FormatUint(start, 36), serial.Add(1)), nil
}

// ownName matches the names of everything that belongs to a topology.
var ownName = regexp.MustCompile(`^lc-([0-9]+)-([0-9a-z]+)-[0-9]+(-|$)`)

// abandoned reports whether name belongs to a topology whose process has ended.
func abandoned(name string) bool {
	m := ownName.FindStringSubmatch(name)
	if m == nil {
		return false
	}
	pid, err := strconv.Atoi(m[1])
	if err != nil {
		return false
	}
	want, err := strconv.ParseUint(m[2], 36, 64)
	if err != nil {
		return false
	}
	start, err := startTime(pid)
	return err != nil || start != want
}

// startTime returns when a process started, in ticks since the machine did. It tells processes of one number apart.
func startTime(pid int) (uint64, error) {
	fields, err := statFields(pid)
	if err != nil {
		return 0, err
	}
	const startField = 22 - 3 // proc(5) counts from 1, and the fields begin behind the second
	if len(fields) <= startField {
		return 0, fmt.Errorf("/proc/%d/stat: too short", pid)
	}
	return strconv.ParseUint(fields[startField], 10, 64)
}

// statFields returns the fields of /proc/PID/stat behind the program's name, which may hold anything.
func statFields(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])), nil
}

// children returns the process numbers of a process's children.
func children(parent int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if f, err := statFields(pid); err == nil && len(f) > 1 && f[1] == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}
