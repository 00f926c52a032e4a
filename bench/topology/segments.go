package topology

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"linecrypt/ctrlplane/instance"
)

// Package instance keeps shared memory in folders with such names, and package shm gives it such a name in front of the instance's.
const (
	segmentFolders = "linecrypt-*-*"
	segmentPrefix  = "linecrypt-"
)

// removeSegments removes the shared memory of gateways of which removed is true, which those leave that are killed: a clean end leaves none. It
// returns whose it was.
func removeSegments(removed func(name string) bool) (gone []string, err error) {
	var errs []error
	for _, mount := range append(instance.HugeMounts(), "/dev/shm") {
		folders, _ := filepath.Glob(filepath.Join(mount, segmentFolders))
		for _, folder := range folders {
			files, _ := filepath.Glob(filepath.Join(folder, segmentPrefix+"*"))
			before := len(gone)
			for _, path := range files {
				if name := strings.TrimPrefix(filepath.Base(path), segmentPrefix); removed(name) {
					gone, errs = append(gone, name), append(errs, os.Remove(path))
				}
			}
			if len(gone) > before {
				_ = os.Remove(folder) // an error means that others use it
			}
		}
	}
	return gone, errors.Join(errs...)
}
