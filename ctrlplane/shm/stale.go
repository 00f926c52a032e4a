package shm

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stales are the segments that earlier data planes left, by path, each with the open file that holds its lock.
type stales map[string]int

// claimAll claims what was left in any of the folders. Nobody else may replace it until it is closed. A folder that is closed to this user, as
// that of huge pages may be, has nothing of an earlier data plane of the same user, unless it is the one to make a segment in at last.
func claimAll(at *Place, name string) (stales, error) {
	left := stales{}
	for _, dir := range at.all() {
		path := Path(dir, name)
		fd, err := claimStale(path)
		if errors.Is(err, os.ErrPermission) && dir != at.Dir {
			continue
		}
		if err != nil {
			left.unmark()
			left.close()
			return nil, err
		}
		if fd >= 0 {
			left[path] = fd
		}
	}
	return left, nil
}

func (l stales) has(path string) bool {
	_, ok := l[path]
	return ok
}

// remove takes one away.
func (l stales) remove(path string) error {
	if err := unix.Unlink(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_ = unix.Close(l[path])
	delete(l, path)
	return nil
}

// removeBut takes all away but the one whose name is the new segment's by now.
func (l stales) removeBut(path string) error {
	for p := range l {
		if p == path {
			continue
		}
		if err := l.remove(p); err != nil {
			return err
		}
	}
	return nil
}

// unmark leaves them as they were.
func (l stales) unmark() {
	for _, fd := range l {
		mark(fd, 0)
	}
}

// close gives the locks up.
func (l stales) close() {
	for _, fd := range l {
		_ = unix.Close(fd)
	}
}

// claimStale takes the data plane's lock on an existing segment, which nobody may then replace until it is closed. It
// returns -1 when there is none.
func claimStale(path string) (int, error) {
	fd, _, err := openFile(path, unix.O_RDWR)
	if errors.Is(err, os.ErrNotExist) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	if err := lock(fd, lockData); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	if !sameFile(fd, path) {
		_ = unix.Close(fd)
		return -1, ErrBusy
	}
	mark(fd, 1)
	return fd, nil
}

// mark says in a stale segment whether it is claimed, so that a control plane does not take its lock for that of a data plane that serves
// it. What cannot be marked is too small to be a segment. It is written through a mapping: hugetlbfs knows no write.
func mark(fd int, claimed uint32) {
	page, err := pageBytes(fd)
	var st unix.Stat_t
	if err != nil || unix.Fstat(fd, &st) != nil || st.Size < int64(unsafe.Sizeof(segmentHeader{})) {
		return
	}
	mem, err := unix.Mmap(fd, 0, alignTo(int(unsafe.Sizeof(segmentHeader{})), page), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return
	}
	(*segmentHeader)(unsafe.Pointer(unsafe.SliceData(mem))).claimed.Store(claimed)
	_ = unix.Munmap(mem)
}
