package instance

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"linecrypt/bench/testenv"
)

// placed returns an instance that has a mount of hugetlbfs, and its folder on it.
func placed(t *testing.T) (*Instance, string) {
	t.Helper()
	mount := testenv.Hugetlbfs(t, 1)
	in := open(t, "one")
	p := in.SegmentPlaces(true)
	dir := in.folderIn(mount)
	if !slices.Contains(p.Huge, dir) || p.Plain != in.shmFolder() || p.Why != "" {
		t.Fatalf("%+v, without %s", p, dir)
	}
	return in, dir
}

func TestSegmentIsFoundWhereTheDataPlaneHasPutIt(t *testing.T) {
	in, huge := placed(t)
	first, err := in.SegmentDir()
	if err != nil || first != in.shmFolder() {
		t.Fatalf("before: %s, %v", first, err)
	}
	if err := in.SetSegmentDir(huge); err != nil {
		t.Fatal(err)
	}
	if dir, err := in.SegmentDir(); err != nil || dir != huge {
		t.Errorf("it is looked for in %s: %v", dir, err)
	}
	if err := in.SetSegmentDir(in.shmFolder()); err == nil {
		dir, err := in.SegmentDir()
		if err != nil || dir != in.shmFolder() {
			t.Errorf("after it has moved it is looked for in %s: %v", dir, err)
		}
	} else {
		t.Error(err)
	}
	if _, err := os.Lstat(huge); !os.IsNotExist(err) {
		t.Errorf("the empty folder on hugetlbfs stays: %v", err)
	}
	if err := in.SetSegmentDir("/etc"); err == nil {
		t.Error("any folder can hold a segment")
	}
}

func TestSegmentThatWasLeftIsFoundWithoutTheLink(t *testing.T) {
	in, huge := placed(t)
	f, err := os.Create(segmentFile(huge, "one"))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if dir, ok := in.LeftSegment(); !ok || dir != huge {
		t.Errorf("left in %q", dir)
	}
	if dir, err := in.SegmentDir(); err != nil || dir != huge {
		t.Errorf("looked for in %s: %v", dir, err)
	}
	// A data plane that was killed between the two steps of moving leaves two.
	if err := os.WriteFile(segmentFile(in.Dir(), "one"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if dirs := in.LeftSegments(); !slices.Equal(dirs, []string{huge, in.Dir()}) {
		t.Errorf("left in %v", dirs)
	}
	if p := in.SegmentPlaces(false); len(p.Huge) != 0 || p.Why == "" || !slices.Contains(p.Stale, huge) {
		t.Errorf("without huge pages: %+v", p)
	}
	if err := in.Remove(); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{huge, in.Dir()} {
		if _, err := os.Lstat(gone); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", gone, err)
		}
	}
}

func TestMountOfAnotherUserIsPassedOver(t *testing.T) {
	mount := testenv.Hugetlbfs(t, 1)
	in := open(t, "one")
	dir := in.folderIn(mount)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := in.SegmentPlaces(true)
	if slices.Contains(p.Huge, dir) {
		t.Error("a folder that others may read is taken")
	}
	if len(p.Huge) == 0 && p.Why == "" {
		t.Error("no word of why")
	}
	if err := os.Symlink(dir, filepath.Join(in.Dir(), segmentLink)); err != nil {
		t.Fatal(err)
	}
	if got, err := in.SegmentDir(); err != nil || got == dir {
		t.Errorf("and looked in: %s, %v", got, err)
	}
}
