package steer

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

func TestKernelWithoutTCXIsToldFromOneThatForbidsIt(t *testing.T) {
	// An older kernel does not know the attach type.
	for _, err := range []error{unix.EINVAL, fmt.Errorf("query: %w", ebpf.ErrNotSupported)} {
		got := unattachable(err)
		if !errors.Is(got, ErrNoTCX) || !errors.Is(got, err) || !strings.Contains(got.Error(), "6.6") || !strings.Contains(got.Error(), "linecrypt run") {
			t.Errorf("%v: %v", err, got)
		}
	}
	if got := unattachable(unix.EPERM); errors.Is(got, ErrNoTCX) || !errors.Is(got, unix.EPERM) {
		t.Errorf("what is forbidden: %v", got)
	}
}
