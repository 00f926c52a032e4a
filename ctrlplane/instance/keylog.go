package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// keyLogLink is a symbolic link in the instance's folder to the key log, while the control plane writes one.
const keyLogLink = "key-log"

// MarkKeyLog notes for KeyLog which file the keys of connections are written to, none for an empty path. Only the control plane may.
func (in *Instance) MarkKeyLog(path string) error {
	link := filepath.Join(in.dir, keyLogLink)
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("instance %q: mark of the key log: %w", in.name, err)
	}
	if path == "" {
		return nil
	}
	if err := os.Symlink(path, link); err != nil {
		return fmt.Errorf("instance %q: mark of the key log: %w", in.name, err)
	}
	return nil
}

// KeyLog returns the file that the running control plane writes the keys of connections to, empty for none.
func (in *Instance) KeyLog() string {
	if _, ok := in.Running(ControlPlane); !ok {
		return ""
	}
	path, err := os.Readlink(filepath.Join(in.dir, keyLogLink))
	if err != nil {
		return ""
	}
	return path
}
