package hugepages

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func mountHugetlbfs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return rootHint(fmt.Errorf("mount hugetlbfs: %w", err))
	}
	if err := unix.Mount("hugetlbfs", dir, "hugetlbfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"); err != nil {
		return rootHint(fmt.Errorf("mount hugetlbfs on %s: %w", dir, err))
	}
	return nil
}
