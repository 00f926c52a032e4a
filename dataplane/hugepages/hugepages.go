// Package hugepages reports and reserves the kernel's huge pages, which DPDK keeps packet buffers in, and maps private memory in huge
// pages. Memory that processes share is package shm's.
package hugepages

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// MountPoint is where Setup mounts hugetlbfs.
const MountPoint = "/dev/hugepages"

// State is what the kernel says about huge pages of the default size.
type State struct {
	PageBytes uint64   // size of a page
	Total     int      // pages reserved
	Free      int      // pages that no one uses or has reserved
	Mounts    []string // where hugetlbfs is mounted
}

// FreeBytes is the memory in free huge pages.
func (s State) FreeBytes() uint64 { return uint64(s.Free) * s.PageBytes }

// Read returns the state as the proc file system under root tells it; root is "/" but for tests.
func Read(root string) (State, error) {
	var s State
	if err := s.readMeminfo(filepath.Join(root, "proc/meminfo")); err != nil {
		return State{}, err
	}
	mounts, err := os.ReadFile(filepath.Join(root, "proc/mounts"))
	if err != nil {
		return State{}, fmt.Errorf("huge pages: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) >= 3 && f[2] == "hugetlbfs" {
			s.Mounts = append(s.Mounts, f[1])
		}
	}
	return s, nil
}

func (s *State) readMeminfo(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("huge pages: %w", err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		key, rest, _ := strings.Cut(sc.Text(), ":")
		var value uint64
		if fields := strings.Fields(rest); len(fields) > 0 {
			value, _ = strconv.ParseUint(fields[0], 10, 62)
		}
		switch key {
		case "HugePages_Total":
			s.Total = int(value)
		case "HugePages_Free":
			s.Free += int(value)
		case "HugePages_Rsvd":
			s.Free -= int(value)
		case "Hugepagesize":
			s.PageBytes = value << 10
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("huge pages: %s: %w", path, err)
	}
	if s.PageBytes == 0 {
		return fmt.Errorf("huge pages: %s names no page size: the kernel has none", path)
	}
	return nil
}

// Setup reserves pages huge pages in all, keeping a larger reservation, and mounts hugetlbfs where it is mounted nowhere. It
// returns the state it reached; fewer pages than asked for are an error that says how many there are.
func Setup(pages int) (State, error) {
	return setup("/", pages, mountHugetlbfs)
}

func setup(root string, pages int, mount func(dir string) error) (State, error) {
	if pages <= 0 {
		return State{}, fmt.Errorf("huge pages: %d pages: must be positive", pages)
	}
	s, err := Read(root)
	if err != nil {
		return State{}, err
	}
	if s.Total < pages {
		if s, err = reserveSome(root, pages); err != nil {
			return s, err
		}
	}
	if len(s.Mounts) == 0 {
		if err := mount(filepath.Join(root, MountPoint)); err != nil {
			return s, err
		}
	}
	if s, err = Read(root); err != nil {
		return State{}, err
	}
	if s.Total < pages {
		return s, fmt.Errorf("huge pages: the kernel gave %d of %d pages of %d KiB: memory is short or fragmented",
			s.Total, pages, s.PageBytes>>10)
	}
	return s, nil
}

// reserveSome reserves as many pages as the kernel gives, and returns what there is then. Where memory is fragmented the kernel is asked to
// put it together, and asked again.
func reserveSome(root string, pages int) (s State, err error) {
	for _, again := range []bool{false, true} {
		if again {
			_ = os.WriteFile(filepath.Join(root, "proc/sys/vm/compact_memory"), []byte("1\n"), 0) // without it there are fewer pages, and that is said
		}
		if err = reserve(filepath.Join(root, "proc/sys/vm/nr_hugepages"), pages); err != nil {
			return s, err
		}
		if s, err = Read(root); err != nil || s.Total >= pages {
			break
		}
	}
	return s, err
}

func reserve(path string, pages int) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return rootHint(fmt.Errorf("reserve huge pages: %w", err))
	}
	_, err = fmt.Fprintf(f, "%d\n", pages)
	if err = errors.Join(err, f.Close()); err != nil {
		return rootHint(fmt.Errorf("reserve huge pages: %w", err))
	}
	return nil
}

func rootHint(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w (run it as root)", err)
	}
	return err
}
