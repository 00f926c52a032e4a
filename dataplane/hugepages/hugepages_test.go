package hugepages

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fakeRoot lays out the proc files the package reads.
func fakeRoot(t *testing.T, total, free int, mounts string) string {
	t.Helper()
	root := t.TempDir()
	meminfo := fmt.Sprintf("MemTotal:       24684100 kB\nHugePages_Total:    %d\nHugePages_Free:     %d\n"+
		"HugePages_Rsvd:        4\nHugepagesize:       2048 kB\nHugetlb:               0 kB\n", total, free)
	for name, text := range map[string]string{"proc/meminfo": meminfo, "proc/mounts": mounts,
		"proc/sys/vm/nr_hugepages": fmt.Sprintln(total)} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestReadReportsPagesAndMounts(t *testing.T) {
	root := fakeRoot(t, 512, 104, "proc /proc proc rw 0 0\nnone /dev/hugepages hugetlbfs rw 0 0\nx /mnt/h hugetlbfs rw 0 0\n")
	s, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	if s.Total != 512 || s.Free != 100 || s.PageBytes != 2<<20 || s.FreeBytes() != 200<<20 {
		t.Errorf("got %+v", s)
	}
	if want := []string{"/dev/hugepages", "/mnt/h"}; !slices.Equal(s.Mounts, want) {
		t.Errorf("mounts %v, want %v", s.Mounts, want)
	}
}

func TestReadRefusesAKernelWithoutHugePages(t *testing.T) {
	root := fakeRoot(t, 0, 0, "")
	if err := os.WriteFile(filepath.Join(root, "proc/meminfo"), []byte("MemTotal: x kB\n:\n\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(root); err == nil || !strings.Contains(err.Error(), "no page size") {
		t.Errorf("got %v", err)
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestSetupReservesAndMounts(t *testing.T) {
	root := fakeRoot(t, 0, 0, "")
	var mounted string
	_, err := setup(root, 64, func(dir string) error { mounted = dir; return nil })
	if got, _ := os.ReadFile(filepath.Join(root, "proc/sys/vm/nr_hugepages")); !strings.HasPrefix(string(got), "64\n") {
		t.Errorf("nr_hugepages is %q", got)
	}
	if mounted != filepath.Join(root, MountPoint) {
		t.Errorf("mounted %q", mounted)
	}
	// The fake kernel never follows, which is what a machine short of memory looks like.
	if err == nil || !strings.Contains(err.Error(), "0 of 64 pages") {
		t.Errorf("got %v", err)
	}
	if got, _ := os.ReadFile(filepath.Join(root, "proc/sys/vm/compact_memory")); string(got) != "1\n" {
		t.Errorf("the kernel was not asked to put its memory together: %q", got)
	}
}

func TestSetupKeepsALargerReservation(t *testing.T) {
	root := fakeRoot(t, 512, 512, "none /dev/hugepages hugetlbfs rw 0 0\n")
	s, err := setup(root, 64, func(string) error { return errors.New("must not mount") })
	if err != nil || s.Total != 512 {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestSetupSaysThatItNeedsRoot(t *testing.T) {
	root := fakeRoot(t, 0, 0, "")
	_, err := setup(root, 64, func(dir string) error {
		return rootHint(&fs.PathError{Op: "mount", Path: dir, Err: fs.ErrPermission})
	})
	if err == nil || !strings.Contains(err.Error(), "run it as root") {
		t.Errorf("got %v", err)
	}
	if _, err := setup(root, 0, nil); err == nil {
		t.Error("zero pages accepted")
	}
}
