package shm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// DefaultDir is where segments lie unless the configuration names another directory.
const DefaultDir = "/dev/shm"

// Path returns the file of the segment of that name.
func Path(dir, name string) string { return filepath.Join(dir, "linecrypt-"+name) }

// Bytes of the file that processes lock for as long as they live: the data plane and the control plane each have one.
const (
	lockData    = 0
	lockControl = 1
)

// lock takes a byte of the file for this open file. It returns ErrBusy when another process has it.
func lock(fd int, at int64) error {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET, Start: at, Len: 1}
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrBusy
	}
	return err
}

// unlock gives a byte of the file up.
func unlock(fd int, at int64) error {
	l := unix.Flock_t{Type: unix.F_UNLCK, Whence: unix.SEEK_SET, Start: at, Len: 1}
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l)
}

// locked reports whether a process other than this open file has that byte.
func locked(fd int, at int64) bool {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET, Start: at, Len: 1}
	return unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &l) == nil && l.Type != unix.F_UNLCK
}

// openFile opens an existing segment file that nobody else could have written, and returns its size.
func openFile(path string, flags int) (fd int, size int64, err error) {
	fd, err = unix.Open(path, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	switch uid := os.Geteuid(); {
	case err != nil:
		err = fmt.Errorf("stat %s: %w", path, err)
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = fmt.Errorf("%s is not a regular file: %w", path, ErrSegment)
	case st.Mode&0o077 != 0:
		err = fmt.Errorf("%s has mode %#o, open to others: %w", path, st.Mode&0o777, ErrSegment)
	case int(st.Uid) != uid && uid != 0:
		err = fmt.Errorf("%s belongs to user %d: %w", path, st.Uid, ErrSegment)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, 0, err
	}
	return fd, st.Size, nil
}

// newFile makes a file of at least that many bytes, in whole pages of its file system, with all its memory set aside, so that a full
// file system is an error now and not a signal later.
func newFile(path string, bytes int) (fd, size, page int, err error) {
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return -1, 0, 0, &os.PathError{Op: "create", Path: path, Err: err}
	}
	if page, err = pageBytes(fd); err == nil {
		size = alignTo(bytes, page)
		err = setAside(fd, size)
	}
	if err != nil {
		_ = unix.Close(fd)
		_ = unix.Unlink(path)
		return -1, 0, 0, fmt.Errorf("set %d bytes of %s aside: %w", size, path, err)
	}
	return fd, size, page, nil
}

func setAside(fd, size int) error {
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return err
	}
	for {
		err := unix.Fallocate(fd, 0, 0, int64(size))
		switch {
		case errors.Is(err, unix.EINTR): // huge pages that were got before a signal of the Go runtime stay
			continue
		case errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS):
			return nil
		}
		return err
	}
}

// pageBytes returns the size of the pages that a file's memory comes in: larger ones on hugetlbfs only.
func pageBytes(fd int) (int, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return 0, fmt.Errorf("statfs: %w", err)
	}
	if fs.Type == unix.HUGETLBFS_MAGIC && fs.Bsize > pageSize && fs.Bsize&(fs.Bsize-1) == 0 {
		return int(fs.Bsize), nil
	}
	return pageSize, nil
}

// sameFile reports whether path still names the open file.
func sameFile(fd int, path string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(fd, &a) == nil && unix.Lstat(path, &b) == nil && a.Ino == b.Ino && a.Dev == b.Dev
}

// startTime returns when this process was started, in clock ticks since boot, 0 when the system does not tell.
func startTime() uint64 {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0
	}
	const startField = 22 - 3 // counted from the one behind the command's name
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= startField {
		return 0
	}
	n, _ := strconv.ParseUint(string(fields[startField]), 10, 64)
	return n
}
