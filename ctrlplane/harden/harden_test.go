package harden

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// child is the variable that makes the test binary harden itself: what Process does cannot be undone.
const child = "LINECRYPT_TEST_HARDEN_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(child) == "" {
		os.Exit(m.Run())
	}
	if err := Process(); err != nil && !errors.Is(err, ErrNotLocked) {
		os.Stdout.WriteString("error " + err.Error())
		os.Exit(1)
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	var core unix.Rlimit
	if err != nil || dumpable != 0 || unix.Getrlimit(unix.RLIMIT_CORE, &core) != nil || core.Max != 0 {
		os.Stdout.WriteString("not hardened")
		os.Exit(1)
	}
	grown := make([]byte, 64<<20) // a locked process must still be able to grow
	for i := 0; i < len(grown); i += 4096 {
		grown[i] = 1
	}
	os.Stdout.WriteString("hardened")
	os.Exit(0)
}

func TestHardenedProcessIsNotDumpableAndStillGrows(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "hardened") {
		t.Fatalf("%v: %s", err, out)
	}
}
