package shm

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Place says where a segment may lie.
type Place struct {
	Huge  []string // folders on hugetlbfs, tried first, in this order
	Dir   string   // folder for the case that none of them has free pages enough
	Stale []string // further folders in which an earlier data plane may have left one
}

// all returns every folder once.
func (p *Place) all() []string {
	var dirs []string
	seen := map[string]bool{}
	for _, list := range [][]string{p.Huge, {p.Dir}, p.Stale} {
		for _, dir := range list {
			if !seen[dir] {
				seen[dir] = true
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// Create makes the segment of an instance in dir and takes the data plane's part in it. A segment left behind by a data
// plane that is gone is replaced; one that is in use is refused with ErrBusy. The rings are empty, counters zero, the
// memory of the flow tables zero and not yet formatted.
func Create(dir string, p Params) (*Segment, error) {
	s, _, err := CreateIn(Place{Dir: dir}, p)
	return s, err
}

// CreateIn is Create in the first folder that has room. Segments that were left in other folders are removed. Short says why the
// segment is not in huge pages; it is nil where it is, and where no folder on hugetlbfs was given.
func CreateIn(at Place, p Params) (s *Segment, short, err error) {
	if err := p.check(); err != nil {
		return nil, nil, fmt.Errorf("create segment: %w", err)
	}
	left, err := claimAll(&at, p.Name)
	if err == nil {
		defer left.close()
		s, short, err = createFirst(&at, left, &p)
	}
	if err != nil {
		left.unmark()
		return nil, short, fmt.Errorf("create segment %s: %w", Path(at.Dir, p.Name), err)
	}
	if err := left.removeBut(s.path); err != nil {
		_ = s.Unlink()
		_ = s.Close()
		return nil, short, fmt.Errorf("create segment %s: remove the last one: %w", s.path, err)
	}
	return s, short, nil
}

// createFirst makes the segment in the first folder with room.
func createFirst(at *Place, left stales, p *Params) (s *Segment, short, err error) {
	for _, dir := range at.Huge {
		path := Path(dir, p.Name)
		s, err := createBeside(path, left.has(path), true, p)
		if errors.Is(err, unix.ENOSPC) && left.has(path) {
			// The pages are those that the last one holds. Whoever wanted to know what is in it has looked.
			s, err = createInstead(path, left, p)
		}
		if err == nil || errors.Is(err, ErrBusy) {
			return s, nil, err
		}
		short = errors.Join(short, err)
	}
	path := Path(at.Dir, p.Name)
	s, err = createBeside(path, left.has(path), false, p)
	return s, short, err
}

// releaseTimeout is how long a control plane may take to let go of a segment that another is made instead of, and a data plane that
// was killed to be torn down.
const releaseTimeout = 500 * time.Millisecond

// createInstead removes the stale segment first, so that its pages are those of the new one once nobody maps it any more.
func createInstead(path string, left stales, p *Params) (s *Segment, err error) {
	if err := left.remove(path); err != nil {
		return nil, err
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		s, err = createBeside(path, false, true, p)
		if !errors.Is(err, unix.ENOSPC) || time.Since(begin) > releaseTimeout {
			return s, err
		}
	}
}

// createBeside makes the new file and puts it in the place of the stale one, if there is one. Huge demands a file of huge pages.
func createBeside(path string, replace, huge bool, p *Params) (*Segment, error) {
	var random [8]byte
	_, _ = rand.Read(random[:])
	temporary := path + ".new-" + hex.EncodeToString(random[:])
	r, err := p.shape().regions()
	if err != nil {
		return nil, err
	}
	fd, size, page, err := newFile(temporary, r.size)
	if err != nil {
		return nil, err
	}
	s := &Segment{path: path, fd: fd, size: size, page: page, shape: p.shape(), regions: r, table: NewTable(), part: partData}
	if huge && !s.HugePages() {
		err = fmt.Errorf("%s is not on hugetlbfs", path)
	} else {
		err = s.publish(temporary, replace, p)
	}
	if err != nil {
		_ = unix.Unlink(temporary)
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// publish maps and formats the new file and gives it its name.
func (s *Segment) publish(temporary string, replace bool, p *Params) error {
	if err := s.mapFile(unix.PROT_READ | unix.PROT_WRITE); err != nil {
		return err
	}
	if err := s.format(p); err != nil {
		return err
	}
	if err := lock(s.fd, lockData); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if replace {
		if err := unix.Unlink(s.path); err != nil {
			return fmt.Errorf("remove the last one: %w", err)
		}
	}
	err := unix.Renameat2(unix.AT_FDCWD, temporary, unix.AT_FDCWD, s.path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		return ErrBusy
	}
	return err
}
