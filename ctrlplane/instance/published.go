package instance

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// EnvInstance is the environment variable that names the instances, with commas in between, in which applications look sessions up.
const EnvInstance = "LINECRYPT_INSTANCE"

// DefaultName is the name of an instance that is given none.
const DefaultName = "default"

// Published is what an application may see of an instance, which another user may run.
type Published struct {
	Name         string
	SessionTable string // path of the session table
	Applications string // path of the socket on which the control plane answers applications
}

// Applications returns the path of the socket on which the control plane answers applications.
func (in *Instance) Applications() string { return filepath.Join(in.dir, "apps.sock") }

// FindPublished returns the instances of the given names, whoever runs them, or all whose names can be listed where none is given. It
// makes nothing and says nothing of whether they run. Folders that a stranger may have made are left out. The error is for names that
// are none; it wraps fs.ErrPermission where nothing is found and something may not be looked at.
func FindPublished(names ...string) ([]Published, error) {
	var found []Published
	var denied error
	for _, name := range names {
		if err := CheckName(name); err != nil {
			return nil, err
		}
	}
	for _, base := range Bases() {
		if _, err := lstatDir(base); errors.Is(err, fs.ErrPermission) {
			denied = err
		}
		owner, err := checkPublic(base)
		if err != nil {
			continue
		}
		for _, name := range namesIn(base, names) {
			in := at(base, name)
			st, err := lstatDir(in.dir)
			if errors.Is(err, fs.ErrPermission) {
				denied = err
			}
			if err == nil && (st.Uid == owner || st.Uid == 0 || int(st.Uid) == os.Getuid()) {
				found = append(found, Published{name, in.SessionTablePath(), in.Applications()})
			}
		}
	}
	if len(found) == 0 {
		return nil, denied
	}
	return found, nil
}

// Owner returns the user whose instance of that name it is, of those that other users may see (see FindPublished), and false where there
// is none. It says nothing of whether it runs.
func Owner(name string) (uid int, ok bool) {
	if CheckName(name) != nil {
		return 0, false
	}
	for _, base := range Bases() {
		owner, err := checkPublic(base)
		if err != nil {
			continue
		}
		if st, err := lstatDir(filepath.Join(base, name)); err == nil && (st.Uid == owner || st.Uid == 0) {
			return int(st.Uid), true
		}
	}
	return 0, false
}

// namesIn returns the names to be looked for below a base folder. One that cannot be listed may hold the default instance.
func namesIn(base string, names []string) []string {
	if len(names) > 0 {
		return names
	}
	entries, err := os.ReadDir(base)
	if err != nil {
		return []string{DefaultName}
	}
	for _, e := range entries {
		if CheckName(e.Name()) == nil && e.IsDir() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}

// checkPublic refuses a base folder that a stranger may have made: it belongs to this user or to root, or lies in a folder in which root
// alone makes others. It returns the owner.
func checkPublic(path string) (uid uint32, err error) {
	st, err := lstatDir(path)
	if err != nil {
		return 0, err
	}
	above, err := lstatDir(filepath.Dir(path))
	if err != nil {
		return 0, err
	}
	given := above.Uid == 0 && above.Mode&0o022 == 0 && (st.Mode&0o022 == 0 || st.Mode&unix.S_ISVTX != 0)
	if checkBase(path) != nil && !given {
		return 0, &fs.PathError{Op: "trust", Path: path, Err: fs.ErrPermission}
	}
	return st.Uid, nil
}
