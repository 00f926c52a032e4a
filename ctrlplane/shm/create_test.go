package shm

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
	"linecrypt/flowtable"
)

// segmentPages is how many huge pages a segment of testParams takes.
func segmentPages(t *testing.T) int {
	t.Helper()
	p := testParams(t)
	r, err := p.shape().regions()
	if err != nil {
		t.Fatal(err)
	}
	return alignTo(r.size, 2<<20) >> 21
}

func TestSegmentLiesInHugePagesWhereThereAreSome(t *testing.T) {
	at := Place{Huge: []string{"/nonexistent", testenv.Hugetlbfs(t, segmentPages(t))}, Dir: t.TempDir()}
	s, short, err := CreateIn(at, testParams(t))
	if err != nil || short != nil {
		t.Fatal(err, short)
	}
	defer s.Close()
	if !s.HugePages() || s.PageBytes() != 2<<20 || s.Size()%(2<<20) != 0 || s.Dir() != at.Huge[1] || !s.Locked() {
		t.Errorf("%d bytes in pages of %d in %s, locked %v", s.Size(), s.PageBytes(), s.Dir(), s.Locked())
	}
	tool, err := Open(at.Huge[1], "test")
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	if !tool.HugePages() || tool.Size() != s.Size() || !tool.Current() || !tool.DataPlaneRuns() {
		t.Error("another process sees another segment")
	}
}

func TestSegmentLiesInOrdinaryPagesWhereThereAreTooFew(t *testing.T) {
	huge := testenv.Hugetlbfs(t, segmentPages(t))
	taken, err := Create(huge, Params{Name: "other", Cores: []int{0}, Flows: flowtable.Layout{Capacity: 64, Chunks: 8}, RequestRing: minRing, ReplyRing: minRing})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := Place{Huge: []string{huge}, Dir: t.TempDir()}
	s, short, err := CreateIn(at, testParams(t))
	if err != nil || !errors.Is(short, unix.ENOSPC) {
		t.Fatal(err, short)
	}
	defer s.Close()
	if s.HugePages() || s.Dir() != at.Dir {
		t.Errorf("it lies in pages of %d in %s", s.PageBytes(), s.Dir())
	}
	if left, err := os.ReadDir(huge); err != nil || len(left) != 1 {
		t.Errorf("on hugetlbfs lies %v: %v", left, err)
	}
}

func TestFolderThatIsNotOnHugetlbfsIsNotTakenForOne(t *testing.T) {
	at := Place{Huge: []string{t.TempDir()}, Dir: t.TempDir()}
	s, short, err := CreateIn(at, testParams(t))
	if err != nil || short == nil {
		t.Fatal(err, short)
	}
	defer s.Close()
	if left, err := os.ReadDir(at.Huge[0]); err != nil || len(left) != 0 || s.Dir() != at.Dir {
		t.Errorf("it lies in %s; in the other one are %v: %v", s.Dir(), left, err)
	}
}

func TestSegmentTakesThePagesOfTheOneThatAKilledDataPlaneLeft(t *testing.T) {
	at := Place{Huge: []string{testenv.Hugetlbfs(t, segmentPages(t))}, Dir: t.TempDir()}
	for i := range 3 {
		s, short, err := CreateIn(at, testParams(t))
		if err != nil || short != nil || !s.HugePages() {
			t.Fatalf("data plane %d: %v, %v", i, err, short)
		}
		if i == 1 { // a control plane holds the stale one until it finds out that it is being replaced
			control, err := OpenControl(at.Huge[0], "test")
			if err != nil {
				t.Fatal(err)
			}
			let := make(chan struct{})
			defer func() { <-let }()
			go func() {
				defer close(let)
				for control.Current() {
				}
				control.Close()
			}()
		}
		s.Close() // as the kernel does
	}
}

func TestSegmentThatWasLeftInAnotherPlaceIsReplaced(t *testing.T) {
	huge, plain := testenv.Hugetlbfs(t, segmentPages(t)), t.TempDir()
	for _, c := range []struct{ from, to Place }{
		{Place{Huge: []string{huge}, Dir: plain}, Place{Dir: plain, Stale: []string{huge, plain}}},
		{Place{Dir: plain}, Place{Huge: []string{huge}, Dir: plain, Stale: []string{huge, plain}}},
	} {
		old, _, err := CreateIn(c.from, testParams(t))
		if err != nil {
			t.Fatal(err)
		}
		if s, _, err := CreateIn(c.to, testParams(t)); !errors.Is(err, ErrBusy) {
			t.Fatalf("beside a data plane that runs in the other place: %v, %v", s, err)
		}
		control, err := OpenControl(old.Dir(), "test")
		if err != nil {
			t.Fatal(err)
		}
		if !control.Current() {
			t.Error("a refused data plane has left its mark")
		}
		from := old.path
		old.Close()
		s, _, err := CreateIn(c.to, testParams(t))
		if err != nil {
			t.Fatal(err)
		}
		if control.Current() {
			t.Error("the old segment passes for the new one")
		}
		control.Close()
		if _, err := os.Stat(from); !os.IsNotExist(err) || s.path == from {
			t.Errorf("%s is still there, and %s: %v", from, s.path, err)
		}
		if err := errors.Join(s.Unlink(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSegmentOfHugePagesIsZeroWhereNothingIsWritten(t *testing.T) {
	at := Place{Huge: []string{testenv.Hugetlbfs(t, segmentPages(t))}, Dir: t.TempDir()}
	for range 2 { // the second time in pages that were used
		s, short, err := CreateIn(at, testParams(t))
		if err != nil || short != nil {
			t.Fatal(err, short)
		}
		mem := s.Worker(0).FlowMemory
		if !bytes.Equal(mem, make([]byte, len(mem))) {
			t.Fatal("there is something in the memory of the flow tables")
		}
		for i := range mem {
			mem[i] = 0xff
		}
		s.Close()
	}
}

func TestFolderThatIsClosedToTheUserIsPassedOver(t *testing.T) {
	base := t.TempDir()
	closed, own := filepath.Join(base, "closed"), filepath.Join(base, "own")
	for _, dir := range []string{closed, own} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		const nobody = 65534
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := errors.Join(os.Chown(own, nobody, nobody), os.Chmod(base, 0o755), os.Chmod(filepath.Dir(base), 0o755)); err != nil {
			t.Fatal(err)
		}
		if _, err := unix.SetfsuidRetUid(nobody); err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = unix.SetfsuidRetUid(0) }()
	} else if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	left, err := claimAll(&Place{Huge: []string{closed}, Dir: own, Stale: []string{closed}}, "test")
	if err != nil || len(left) != 0 {
		t.Errorf("%d segments, %v", len(left), err)
	}
	if _, err := claimAll(&Place{Dir: closed}, "test"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("the folder to make it in: %v", err)
	}
}
