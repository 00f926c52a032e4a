package instance

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Process is one of the processes of an instance.
type Process string

// The processes. The values name their lock files.
const (
	DataPlane    Process = "dataplane"
	ControlPlane Process = "ctrlplane"
	Supervisor   Process = "run" // `linecrypt run`, which starts the two others
)

// String returns the process's name as in messages.
func (p Process) String() string {
	switch p {
	case DataPlane:
		return "data plane"
	case ControlPlane:
		return "control plane"
	}
	return "linecrypt run"
}

// ErrRunning is wrapped by the error about a lock that another process holds.
var ErrRunning = errors.New("already running")

// RunningError says who holds a lock. It wraps ErrRunning.
type RunningError struct {
	Name    string
	Process Process
	PID     int // 0 if it is not known
}

// Error returns `instance "x" is already running (data plane, pid 7)`.
func (e *RunningError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("instance %q is already running (%v)", e.Name, e.Process)
	}
	return fmt.Sprintf("instance %q is already running (%v, pid %d)", e.Name, e.Process, e.PID)
}

// Unwrap returns ErrRunning.
func (e *RunningError) Unwrap() error { return ErrRunning }

// Lock is the right to be the one data plane or control plane of an instance. It ends with Release or with the process.
type Lock struct {
	f *os.File
}

func (in *Instance) lockPath(p Process) string { return filepath.Join(in.dir, string(p)+".lock") }

// Lock takes the lock of a process. It does not wait: if another process has it, the error is a *RunningError.
func (in *Instance) Lock(p Process) (*Lock, error) {
	path := in.lockPath(p)
	for range 100 {
		// The folder may have gone with the instance that was there when it was opened, and the one around it with the last instance.
		err := makeOwn(in.dir)
		if errors.Is(err, fs.ErrNotExist) {
			if err = makeBase(in.base); err == nil {
				continue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("instance %q: %w", in.name, err)
		}
		f, err := lockFile(path)
		if errors.Is(err, errHeld) {
			pid, _ := in.Running(p)
			return nil, &RunningError{Name: in.name, Process: p, PID: pid}
		}
		if err != nil {
			return nil, fmt.Errorf("instance %q: %v lock: %w", in.name, p, err)
		}
		if !sameFile(f, path) {
			f.Close()
			continue
		}
		return writePID(f)
	}
	return nil, fmt.Errorf("instance %q: %v lock: %s keeps changing", in.name, p, path)
}

func writePID(f *os.File) (*Lock, error) {
	err := f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Lock{f: f}, nil
}

// Release gives the lock up and removes its file, which may have gone with the instance's folder, and be another's by now.
func (l *Lock) Release() error {
	var err error
	if sameFile(l.f, l.f.Name()) {
		err = os.Remove(l.f.Name())
	}
	return errors.Join(err, l.f.Close())
}

// Running returns the number of the process that holds a lock, 0 if that is not known, and whether there is one. It takes
// no lock itself, so it never gets in the way of one that starts.
func (in *Instance) Running(p Process) (pid int, ok bool) {
	f, err := openLock(in.lockPath(p), os.O_RDONLY)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &lk); err != nil || lk.Type == unix.F_UNLCK {
		return 0, false
	}
	var text [16]byte
	n, _ := f.ReadAt(text[:], 0)
	pid, err = strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil || pid < 0 {
		return 0, true
	}
	return pid, true
}

var errHeld = errors.New("held by another process")

// openLock does not follow a symbolic link and does not wait for a writer of a named pipe: both would be traps.
func openLock(path string, flags int) (*os.File, error) {
	return os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
}

// lockFile opens a file, making it where it is missing, and locks it, or returns errHeld. The lock belongs to the open
// file, so two of one process exclude each other too, and a child that inherits nothing does not prolong it.
func lockFile(path string) (*os.File, error) {
	f, err := openLock(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil, errHeld
	}
	return nil, err
}

// sameFile reports whether path still leads to f: whoever held the lock before may have removed the file in between.
func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}
