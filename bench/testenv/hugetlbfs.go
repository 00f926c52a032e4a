package testenv

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Hugetlbfs mounts hugetlbfs with that many pages of 2 MiB set aside for it, which only the calling goroutine sees, and returns its
// folder: the goroutine is bound to a thread with a mount namespace of its own, which ends with it. No page is taken from others; the
// kernel is let make as many on demand. It skips the test where that cannot be had.
func Hugetlbfs(t testing.TB, pages int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount hugetlbfs")
	}
	dir := t.TempDir()
	AllowHugepages(t, pages)
	// The thread is not unlocked, so that it ends with the goroutine and takes the mount along.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skipf("no mount namespace: %v", err)
	}
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	options := fmt.Sprintf("pagesize=2M,mode=0700,size=%dM,min_size=%dM", 2*pages, 2*pages)
	if err := unix.Mount("hugetlbfs", dir, "hugetlbfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		t.Skipf("mount hugetlbfs with %s: %v", options, err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// AllowHugepages raises the number of huge pages of 2 MiB that the kernel makes on demand until the test ends. It skips the test where
// it may not.
func AllowHugepages(t testing.TB, pages int) {
	t.Helper()
	add := func(n int) error {
		// Tests of several packages may do so at once.
		f, err := os.OpenFile(filepath.Join(os.TempDir(), "linecrypt-test-hugepages.lock"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			return err
		}
		const path = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_overcommit_hugepages"
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		now, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(strconv.Itoa(max(now+n, 0))), 0)
	}
	if err := add(pages); err != nil {
		t.Skipf("huge pages: %v", err)
	}
	t.Cleanup(func() {
		if err := add(-pages); err != nil {
			t.Error(err)
		}
	})
}
