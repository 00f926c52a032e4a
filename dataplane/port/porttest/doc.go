// Package porttest is what tests of several kinds of port share: a network namespace of the test's own, the host's end of a veth pair whose
// other end the port has, frames that can be told from what the kernel sends by itself, and polling until what is wanted has come about.
package porttest

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
)

// InNamespace moves the test's thread into a network namespace of its own. The thread ends with the test and the namespace with it,
// however the test ends.
func InNamespace(t testing.TB) {
	t.Helper()
	testenv.NeedRoot(t)
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}
