package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// segmentLink is the name of the symbolic link in the folder that leads to the folder of the segment.
const segmentLink = "segment"

// SegmentDir returns the folder of the shared memory segment, as package shm takes it: where the data plane has put it (see
// SetSegmentDir), where one was left, or else where it lies without huge pages, which is a folder in /dev/shm where that can be had,
// so that the segment is memory whatever file system the instance's folder is on, else the instance's folder. The first call
// chooses, and leaves a link in the instance's folder by which all later ones find it.
func (in *Instance) SegmentDir() (string, error) {
	link := filepath.Join(in.dir, segmentLink)
	for range 3 {
		target, err := os.Readlink(link)
		if err == nil && in.mayHoldSegment(target) {
			return target, nil
		}
		if err == nil {
			err = os.Remove(link)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("instance %q: segment: %w", in.name, err)
		}
		if err := os.Symlink(in.chooseSegmentDir(), link); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("instance %q: segment: %w", in.name, err)
		}
	}
	return "", fmt.Errorf("instance %q: segment: %s keeps changing", in.name, link)
}

// Places are the folders in which a data plane may put its segment.
type Places struct {
	Huge  []string // on hugetlbfs, those with the smallest pages first
	Plain string   // where there are no huge pages
	Stale []string // where it does not go, and an earlier one may have been left
	Why   string   // why there is none in Huge
}

// SegmentPlaces returns where the segment may lie, and makes these folders. Those on hugetlbfs are for a data plane that wants huge
// pages; a mount that this user may not write to is left out.
func (in *Instance) SegmentPlaces(huge bool) Places {
	p := Places{Plain: in.plainSegmentDir(), Stale: in.segmentFolders()}
	mounts := HugeMounts()
	switch {
	case !huge:
		p.Why = "the configuration wants none"
		return p
	case len(mounts) == 0:
		p.Why = "hugetlbfs is mounted nowhere"
		return p
	}
	var errs []error
	for _, mount := range mounts {
		dir := in.folderIn(mount)
		if err := makeOwn(dir); err != nil {
			errs = append(errs, err)
			continue
		}
		p.Huge = append(p.Huge, dir)
	}
	if len(p.Huge) == 0 {
		p.Why = errors.Join(errs...).Error()
	}
	return p
}

// SetSegmentDir says in which folder the data plane has put the segment; whoever looks for it finds it there from now on. Folders of
// ours on hugetlbfs that stay empty go.
func (in *Instance) SetSegmentDir(dir string) error {
	if !in.mayHoldSegment(dir) {
		return fmt.Errorf("instance %q: %s is no folder for a segment", in.name, dir)
	}
	link := filepath.Join(in.dir, segmentLink)
	fresh := link + ".new"
	_ = os.Remove(fresh) // what a crash left there: the caller has the data plane's lock
	err := os.Symlink(dir, fresh)
	if err == nil {
		err = os.Rename(fresh, link)
	}
	if err != nil {
		return fmt.Errorf("instance %q: segment: %w", in.name, err)
	}
	for _, other := range in.sharedFolders() {
		if other != dir {
			_ = os.Remove(other)
		}
	}
	return nil
}

// SegmentPath returns the path of the segment in SegmentDir.
func (in *Instance) SegmentPath() (string, error) {
	dir, err := in.SegmentDir()
	if err != nil {
		return "", err
	}
	return segmentFile(dir, in.name), nil
}

// LeftSegment returns the folder in which the segment lies, and false where there is none. It makes nothing.
func (in *Instance) LeftSegment() (dir string, ok bool) {
	left := in.LeftSegments()
	if len(left) == 0 {
		return "", false
	}
	return left[0], true
}

// LeftSegments returns every folder in which a segment lies, the one that SegmentDir names first. There are several only where a data
// plane was killed while it put its own in another place than the last one.
func (in *Instance) LeftSegments() []string {
	var dirs []string
	linked, _ := os.Readlink(filepath.Join(in.dir, segmentLink))
	for _, dir := range in.segmentFolders() {
		if _, err := os.Lstat(segmentFile(dir, in.name)); err != nil || checkOwn(dir) != nil {
			continue
		}
		if dir == linked {
			dirs = slices.Insert(dirs, 0, dir)
		} else {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// removeSegments removes the segment from wherever it lies, and what a data plane that was killed had begun.
func (in *Instance) removeSegments() (errs []error) {
	for _, dir := range in.sharedFolders() {
		if checkOwn(dir) != nil {
			continue
		}
		segment := segmentFile(dir, in.name)
		halves, err := filepath.Glob(segment + ".new-*")
		errs = append(errs, err)
		for _, path := range append(halves, segment) {
			if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
	}
	return errs
}

// segmentFile is the name that package shm gives a segment.
func segmentFile(dir, name string) string { return filepath.Join(dir, "linecrypt-"+name) }

// shmFolder is the folder of the segment without huge pages.
func (in *Instance) shmFolder() string { return in.folderIn("/dev/shm") }

// folderIn is distinct for instances of one name that live below different bases.
func (in *Instance) folderIn(mount string) string {
	return filepath.Join(mount, fmt.Sprintf("linecrypt-%d-%08x", os.Getuid(), hash(in.base)))
}

// sharedFolders are those for segments that instances below one base share.
func (in *Instance) sharedFolders() []string {
	var dirs []string
	for _, mount := range HugeMounts() {
		dirs = append(dirs, in.folderIn(mount))
	}
	return append(dirs, in.shmFolder())
}

// segmentFolders are all folders in which a segment may lie.
func (in *Instance) segmentFolders() []string { return append(in.sharedFolders(), in.dir) }

func (in *Instance) mayHoldSegment(dir string) bool {
	return dir == in.dir || slices.Contains(in.sharedFolders(), dir) && makeOwn(dir) == nil
}

func (in *Instance) chooseSegmentDir() string {
	if dir, ok := in.LeftSegment(); ok {
		return dir
	}
	return in.plainSegmentDir()
}

func (in *Instance) plainSegmentDir() string {
	if makeOwn(in.shmFolder()) == nil {
		return in.shmFolder()
	}
	return in.dir
}
