package instance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// open returns an instance below a base folder of the test's own.
func open(t *testing.T, name string) *Instance {
	t.Helper()
	if os.Getenv(EnvRunDir) == "" {
		base, err := os.MkdirTemp("/tmp", "lc-instance-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			os.Remove(at(filepath.Join(base, "run"), name).shmFolder())
			os.RemoveAll(base)
		})
		t.Setenv(EnvRunDir, filepath.Join(base, "run"))
	}
	in, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestNamesThatAreNoSafePathElementsAreRefused(t *testing.T) {
	for _, name := range []string{"", ".", "..", "a/b", "/", "A", "-x", ".x", "a b", "ä", "a\x00", strings.Repeat("a", 33)} {
		if CheckName(name) == nil {
			t.Errorf("name %q is accepted", name)
		}
	}
	for _, name := range []string{"default", "a", "0", "gw-1", "a.b_c", strings.Repeat("a", 32)} {
		if err := CheckName(name); err != nil {
			t.Errorf("name %q is refused: %v", name, err)
		}
	}
}

func TestFolderIsClosedToOthers(t *testing.T) {
	in := open(t, "one")
	st, err := os.Stat(in.Dir())
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Fatalf("mode %v, error %v; want 0700", st.Mode(), err)
	}
	if err := os.Chmod(in.Dir(), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("one"); err == nil || !strings.Contains(err.Error(), "open to other users") {
		t.Fatalf("a folder open to others: error %v", err)
	}
}

func TestSymbolicLinkIsNotTakenForAFolder(t *testing.T) {
	in := open(t, "one")
	if err := os.Symlink(in.Dir(), filepath.Join(filepath.Dir(in.Dir()), "two")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("two"); err == nil || !strings.Contains(err.Error(), "not a folder") {
		t.Fatalf("error %v", err)
	}
}

func TestLockIsNotTakenThroughASymbolicLink(t *testing.T) {
	in := open(t, "one")
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, in.lockPath(DataPlane)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Lock(DataPlane); err == nil {
		t.Fatal("the lock was taken")
	}
	if b, _ := os.ReadFile(victim); string(b) != "precious" {
		t.Fatalf("the file behind the link now holds %q", b)
	}
}

func TestSecondProcessOfOneNameIsRefusedWithTheFirstOnesPid(t *testing.T) {
	in := open(t, "one")
	l, err := in.Lock(DataPlane)
	if err != nil {
		t.Fatal(err)
	}
	_, err = in.Lock(DataPlane)
	want := fmt.Sprintf(`instance "one" is already running (data plane, pid %d)`, os.Getpid())
	if !errors.Is(err, ErrRunning) || err.Error() != want {
		t.Fatalf("error %v, want %s", err, want)
	}
	other, err := in.Lock(ControlPlane)
	if err != nil {
		t.Fatalf("the other process of the instance is refused: %v", err)
	}
	if err := errors.Join(other.Release(), l.Release()); err != nil {
		t.Fatal(err)
	}
	if l, err = in.Lock(DataPlane); err != nil {
		t.Fatalf("after the release: %v", err)
	}
	l.Release()
}

func TestLockFileLeftByACrashDoesNotCountAsRunning(t *testing.T) {
	in := open(t, "one")
	if err := os.WriteFile(in.lockPath(DataPlane), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if pid, ok := in.Running(DataPlane); ok {
		t.Fatalf("pid %d counts as running", pid)
	}
	l, err := in.Lock(DataPlane)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if pid, ok := in.Running(DataPlane); !ok || pid != os.Getpid() {
		t.Fatalf("running: pid %d, %v; want our own", pid, ok)
	}
}

func TestFindNamesWhatRunsAndHowToStart(t *testing.T) {
	in := open(t, "one")
	l, err := in.Lock(ControlPlane)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if found, err := Find("one"); err != nil || found.Dir() != in.Dir() {
		t.Fatalf("found %v, error %v", found, err)
	}
	open(t, "idle")
	_, err = Find("idle")
	want := `no instance named "idle" is running; start one with: linecrypt run --inside PORT --outside PORT --name idle (running: one)`
	if !errors.Is(err, ErrNotRunning) || err.Error() != want {
		t.Fatalf("error %v\nwant %s", err, want)
	}
}

func TestSegmentPathStaysTheSame(t *testing.T) {
	in := open(t, "one")
	first, err := in.SegmentPath()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open("one")
	if err != nil {
		t.Fatal(err)
	}
	if second, err := again.SegmentPath(); err != nil || second != first {
		t.Fatalf("second path %q, error %v; first %q", second, err, first)
	}
}

func TestSegmentLinkToElsewhereIsReplaced(t *testing.T) {
	in := open(t, "one")
	if err := os.Symlink("/etc/passwd", filepath.Join(in.Dir(), segmentLink)); err != nil {
		t.Fatal(err)
	}
	dir, err := in.SegmentDir()
	if err != nil || !in.mayHoldSegment(dir) {
		t.Fatalf("folder %q, error %v", dir, err)
	}
}

func TestSegmentsOfOneNameBelowDifferentBasesDiffer(t *testing.T) {
	if a, b := at("/run/linecrypt", "one").shmFolder(), at("/tmp/linecrypt-0", "one").shmFolder(); a == b {
		t.Fatalf("both are %s", a)
	}
}

func TestRemoveLeavesNothing(t *testing.T) {
	in := open(t, "one")
	segment, err := in.SegmentPath()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{segment, segment + ".new-1", in.SessionTablePath(), in.SessionTablePath() + ".new-1", in.ControlSocket(), in.lockPath(DataPlane)} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.Remove(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{segment, filepath.Dir(segment), in.Dir()} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is still there (%v)", path, err)
		}
	}
}

func TestTheFolderAroundInstancesMayGoWithTheLastOne(t *testing.T) {
	for name, use := range map[string]func(in *Instance) error{
		"what is removed already can be removed": (*Instance).Remove,
		"one that begins just then takes its lock": func(in *Instance) error {
			l, err := in.Lock(DataPlane)
			if err == nil {
				err = l.Release()
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := open(t, "one")
			if err := os.RemoveAll(os.Getenv(EnvRunDir)); err != nil {
				t.Fatal(err)
			}
			if err := use(in); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRemoveIsRefusedWhileAProcessRuns(t *testing.T) {
	in := open(t, "one")
	l, err := in.Lock(ControlPlane)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if err := in.Remove(); !errors.Is(err, ErrRunning) {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Stat(in.lockPath(ControlPlane)); err != nil {
		t.Fatal(err)
	}
}

func TestLastProcessOfAnInstanceTidiesUp(t *testing.T) {
	for name, c := range map[string]struct {
		running Process // beside the one that ends
		segment bool    // one that a data plane left when it was killed
		left    bool
	}{
		"the last one":               {},
		"beside the data plane":      {running: DataPlane, left: true},
		"beside the control plane":   {running: ControlPlane, left: true},
		"beside the supervisor":      {running: Supervisor, left: true},
		"behind a killed data plane": {segment: true, left: true},
	} {
		t.Run(name, func(t *testing.T) {
			in := open(t, "one")
			segment, err := in.SegmentPath()
			if err != nil {
				t.Fatal(err)
			}
			if c.running != "" {
				l, err := in.Lock(c.running)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Release()
			}
			if c.segment {
				if err := os.WriteFile(segment, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = in.Remove() })
			}
			if err := in.Tidy(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(in.Dir()); (err == nil) != c.left {
				t.Errorf("the folder: %v", err)
			}
			if left := FindLeft("one"); (left != nil) != (c.segment || c.running == Supervisor) {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestPathTooLongForASocketIsRefused(t *testing.T) {
	t.Setenv(EnvRunDir, "/tmp/"+strings.Repeat("x", 100))
	if _, err := Open("one"); err == nil || !strings.Contains(err.Error(), "socket") {
		t.Fatalf("error %v", err)
	}
}

func TestInstancesTakeDifferentCoresUntilNoneIsLeft(t *testing.T) {
	allowed, err := AllowedCores()
	if err != nil {
		t.Fatal(err)
	}
	one, two := open(t, "one"), open(t, "two")
	var seen []int
	for i := range allowed {
		c, err := []*Instance{one, two}[i%2].ClaimCores(nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Release()
		if want := allowed[len(allowed)-1-i]; c.Numbers[0] != want || c.Shared {
			t.Fatalf("claim %d: core %d, shared %v; want core %d of its own (before: %v)", i, c.Numbers[0], c.Shared, want, seen)
		}
		seen = append(seen, c.Numbers[0])
	}
	c, err := two.ClaimCores(nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	if c.Numbers[0] != allowed[len(allowed)-1] || !c.Shared {
		t.Fatalf("one more: core %v, shared %v; want the last core, shared", c.Numbers, c.Shared)
	}
	c.Release()
}

func TestReleasedCoreIsFreeAgain(t *testing.T) {
	in := open(t, "one")
	for range 2 {
		c, err := in.ClaimCores(nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		if c.Shared {
			t.Fatal("the core is still claimed")
		}
		c.Release()
	}
}

func TestCoreThatTheProcessMayNotRunOnIsRefused(t *testing.T) {
	if _, err := open(t, "one").ClaimCores([]int{maxCore - 1}, 1); err == nil || !strings.Contains(err.Error(), "core 1023") {
		t.Fatalf("error %v", err)
	}
}

func TestNamedCoreIsTakenEvenIfClaimed(t *testing.T) {
	in := open(t, "one")
	first, err := in.ClaimCores(nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	second, err := in.ClaimCores(first.Numbers, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	if second.Numbers[0] != first.Numbers[0] || !second.Shared {
		t.Fatalf("cores %v, shared %v", second.Numbers, second.Shared)
	}
}
