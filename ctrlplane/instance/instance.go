package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// Instance is the folder of one instance. It holds no lock by itself and is safe for concurrent use.
type Instance struct {
	name string
	base string
	dir  string
}

// Open returns the instance of that name, making its folder where it is missing. Where the instance already runs, that is
// the folder that it runs in, otherwise the first one that can be made below one of Bases.
func Open(name string) (*Instance, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if in := findRunning(name); in != nil {
		return in, nil
	}
	var errs []error
	for _, base := range Bases() {
		in, err := openIn(base, name)
		if err == nil {
			return in, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("instance %q: no run directory (%s chooses one): %w", name, EnvRunDir, errors.Join(errs...))
}

func openIn(base, name string) (*Instance, error) {
	in := at(base, name)
	if n := len(in.ControlSocket()); n > maxSocketPath {
		return nil, fmt.Errorf("%s: a socket's path may have %d bytes, this has %d", in.ControlSocket(), maxSocketPath, n)
	}
	if err := makeBase(base); err != nil {
		return nil, err
	}
	if err := makeOwn(in.dir); err != nil {
		return nil, err
	}
	return in, nil
}

func at(base, name string) *Instance {
	return &Instance{name: name, base: base, dir: filepath.Join(base, name)}
}

// Name returns the instance's name.
func (in *Instance) Name() string { return in.name }

// Dir returns the instance's folder.
func (in *Instance) Dir() string { return in.dir }

// ControlSocket returns the path of the control plane's socket. It is short enough for an address of a Unix socket.
// Whoever holds the control plane's lock may remove a socket that a crash left there.
func (in *Instance) ControlSocket() string { return filepath.Join(in.dir, "control.sock") }

// SessionTablePath returns the path of the session-ID table, a file of its own because a group may be let read it.
func (in *Instance) SessionTablePath() string { return filepath.Join(in.dir, "sessions") }

// segmentLink is the name of the symbolic link in the folder that leads to the segment.
const segmentLink = "segment"

// SegmentPath returns the path of the shared memory segment: in /dev/shm where that can be had, so that it is memory
// whatever file system the folder is on, else in the folder. The first call chooses, and leaves a link in the folder by
// which all later ones find it. The file itself is the data plane's to make, mode 0600.
func (in *Instance) SegmentPath() (string, error) {
	link := filepath.Join(in.dir, segmentLink)
	for range 3 {
		target, err := os.Readlink(link)
		if err == nil && in.mayBeSegment(target) {
			return target, nil
		}
		if err == nil {
			err = os.Remove(link)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("instance %q: segment: %w", in.name, err)
		}
		if err := os.Symlink(in.chooseSegment(), link); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("instance %q: segment: %w", in.name, err)
		}
	}
	return "", fmt.Errorf("instance %q: segment: %s keeps changing", in.name, link)
}

func (in *Instance) inFolder() string { return filepath.Join(in.dir, "segment.shm") }

func (in *Instance) shmFolder() string { return fmt.Sprintf("/dev/shm/linecrypt-%d", os.Getuid()) }

// inShm is distinct for instances of one name that live below different bases.
func (in *Instance) inShm() string {
	return filepath.Join(in.shmFolder(), fmt.Sprintf("%s-%08x", in.name, hash(in.base)))
}

func (in *Instance) mayBeSegment(target string) bool {
	return target == in.inFolder() || target == in.inShm() && checkOwn(in.shmFolder()) == nil
}

func (in *Instance) chooseSegment() string {
	if makeOwn(in.shmFolder()) == nil {
		return in.inShm()
	}
	return in.inFolder()
}

// hash is FNV-1a: it only has to tell a handful of folders apart.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// ShareWith lets the members of a group, given by name or number, reach files in the folder. The files themselves decide
// who may read them: the session-ID table is for the group, the segment never is. It returns the group's number, for chown.
func (in *Instance) ShareWith(group string) (gid int, err error) {
	gid, err = strconv.Atoi(group)
	if err != nil {
		g, err := user.LookupGroup(group)
		if err != nil {
			return 0, fmt.Errorf("instance %q: %w", in.name, err)
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return 0, fmt.Errorf("instance %q: group %s: %w", in.name, group, err)
		}
	}
	if err := os.Chown(in.dir, -1, gid); err != nil {
		return 0, fmt.Errorf("instance %q: %w", in.name, err)
	}
	if err := os.Chmod(in.dir, 0o710); err != nil {
		return 0, fmt.Errorf("instance %q: %w", in.name, err)
	}
	return gid, nil
}

// Remove takes away everything that the instance left on the disk. It takes both locks for that: while another process
// holds one, nothing is removed and the error is a *RunningError. It is for the clean end: after a crash the segment is kept.
func (in *Instance) Remove() error {
	for _, p := range []Process{DataPlane, ControlPlane} {
		l, err := in.Lock(p)
		if err != nil {
			return err
		}
		defer l.Release()
	}
	paths := []string{in.ControlSocket(), in.SessionTablePath(), in.inFolder()}
	if target, err := os.Readlink(filepath.Join(in.dir, segmentLink)); err == nil && in.mayBeSegment(target) {
		paths = append(paths, target)
	}
	paths = append(paths, filepath.Join(in.dir, segmentLink), in.lockPath(DataPlane), in.lockPath(ControlPlane), in.dir)
	var errs []error
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	in.removeEmpty()
	return errors.Join(errs...)
}

// removeEmpty removes the folders that instances share, if this was the last one; an error means that it was not.
func (in *Instance) removeEmpty() {
	for _, dir := range []string{in.shmFolder(), filepath.Join(in.base, coresFolder)} {
		_ = os.Remove(dir)
	}
	if os.Getenv(EnvRunDir) == "" {
		_ = os.Remove(in.base)
	}
}
