package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// EnvRunDir is the environment variable that names the base folder and so rules the others out.
const EnvRunDir = "LINECRYPT_RUN_DIR"

// maxSocketPath is the size of sun_path less the final zero byte.
const maxSocketPath = 107

// Bases returns the folders below which the folders of instances may lie, in the order in which they are tried:
// $LINECRYPT_RUN_DIR alone where it is set, else /run/linecrypt, $XDG_RUNTIME_DIR/linecrypt and linecrypt-UID in /tmp.
func Bases() []string {
	if dir := os.Getenv(EnvRunDir); dir != "" {
		return []string{filepath.Clean(dir)}
	}
	bases := []string{"/run/linecrypt"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		bases = append(bases, filepath.Join(dir, "linecrypt"))
	}
	return append(bases, fmt.Sprintf("/tmp/linecrypt-%d", os.Getuid()))
}

// makeBase makes the base folder if it is missing. The error says why it cannot be used.
func makeBase(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := checkBase(path); err != nil {
		return err
	}
	if err := unix.Access(path, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s: not writable: %w", path, err)
	}
	return nil
}

// checkBase refuses a base folder in which another user could replace ours: in /tmp anyone can make a folder of the name
// that we expect.
func checkBase(path string) error {
	st, err := lstatDir(path)
	if err != nil {
		return err
	}
	if uid := int(st.Uid); uid != os.Getuid() && uid != 0 {
		return fmt.Errorf("%s: belongs to user %d", path, uid)
	}
	if st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("%s: other users may replace what lies in it (mode %o)", path, st.Mode&0o7777)
	}
	return nil
}

// lstatDir returns the status of a folder, which must not be a symbolic link.
func lstatDir(path string) (unix.Stat_t, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return st, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return st, fmt.Errorf("%s: is not a folder", path)
	}
	return st, nil
}

// makeOwn makes a folder for this user alone, or checks that the one that is there is that. Mode 0710 is left as ShareWith
// made it.
func makeOwn(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return checkOwn(path)
}

func checkOwn(path string) error {
	st, err := lstatDir(path)
	if err != nil {
		return err
	}
	if int(st.Uid) != os.Getuid() {
		return fmt.Errorf("%s: belongs to user %d, not to user %d", path, st.Uid, os.Getuid())
	}
	if st.Mode&0o067 != 0 {
		return fmt.Errorf("%s: is open to other users (mode %o)", path, st.Mode&0o7777)
	}
	return nil
}
