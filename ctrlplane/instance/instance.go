package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"time"
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

// hash is FNV-1a: it only has to tell a handful of folders apart.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// GroupID returns the number of a group that is given by name or number. A number need not have a name.
func GroupID(group string) (int, error) {
	if gid, err := strconv.Atoi(group); err == nil {
		if gid < 0 || gid > math.MaxUint32-1 {
			return 0, fmt.Errorf("group: %d is no group's number", gid)
		}
		return gid, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, err
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return 0, fmt.Errorf("group %s: %w", group, err)
	}
	return gid, nil
}

// ShareWith lets the members of a group, given by name or number, reach files in the folder. The files themselves decide
// who may read them: the session-ID table is for the group, the segment never is. It returns the group's number, for chown.
func (in *Instance) ShareWith(group string) (gid int, err error) {
	if gid, err = GroupID(group); err != nil {
		return 0, fmt.Errorf("instance %q: %w", in.name, err)
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
	errs := in.removeSegments()
	errs = append(errs, os.RemoveAll(in.dir))
	in.removeEmpty()
	return errors.Join(errs...)
}

// Tidy removes what is left of an instance whose last process ends, for processes that end without a supervisor to do so after
// them. Where another process runs, or a data plane that was killed has left its segment for the next one, it removes nothing.
func (in *Instance) Tidy() error {
	for try := range tidyTries {
		if _, err := os.Stat(in.dir); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if _, ok := in.LeftSegment(); ok {
			return nil
		}
		if _, ok := in.Running(Supervisor); ok {
			return nil // it does so itself, or goes on
		}
		err := in.Remove()
		if !errors.Is(err, ErrRunning) {
			return err
		}
		// The other process may be doing the same just now: one of the two finds the other's locks gone.
		time.Sleep(time.Duration(1+try+os.Getpid()%tidyTries) * 10 * time.Millisecond)
	}
	return nil
}

const tidyTries = 5

// removeEmpty removes the folders that instances share, if this was the last one; an error means that it was not.
func (in *Instance) removeEmpty() {
	for _, dir := range append(in.sharedFolders(), filepath.Join(in.base, coresFolder)) {
		_ = os.Remove(dir)
	}
	if os.Getenv(EnvRunDir) == "" {
		_ = os.Remove(in.base)
	}
}
