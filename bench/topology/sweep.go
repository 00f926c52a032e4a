package topology

import (
	"errors"
	"os"
	"path/filepath"
)

// Sweep removes what topologies of processes that have ended left behind: namespaces with all that runs in them, folders
// and shared memory. It touches nothing else, and nothing of a process that is alive. It returns the names it removed.
func Sweep() ([]string, error) {
	var gone []string
	var errs []error
	sweep := func(dir string, remove func(path string) error) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if !abandoned(e.Name()) {
				continue
			}
			gone = append(gone, e.Name())
			errs = append(errs, remove(filepath.Join(dir, e.Name())))
		}
	}
	sweep(netnsDir, func(path string) error { return NetNS(filepath.Base(path)).remove() })
	sweep(os.TempDir(), os.RemoveAll)
	sweep(dpdkDir, os.RemoveAll)
	names, err := removeSegments(abandoned)
	return append(gone, names...), errors.Join(append(errs, err)...)
}
