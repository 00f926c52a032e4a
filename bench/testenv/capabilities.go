package testenv

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// WithCapabilities runs f on a thread with these capabilities alone, which ends with f.
func WithCapabilities(t testing.TB, keep uint64, f func()) {
	t.Helper()
	NeedRoot(t)
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		runtime.LockOSThread()
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		data := [2]unix.CapUserData{{Effective: uint32(keep), Permitted: uint32(keep)}, {Effective: uint32(keep >> 32), Permitted: uint32(keep >> 32)}}
		if err := unix.Capset(&hdr, &data[0]); err != nil {
			failed <- err
			return
		}
		f()
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}
