package hostmode

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMissingCapabilitiesAreNamed(t *testing.T) {
	const network = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW
	for _, c := range []struct {
		have uint64
		want string // at the front, empty for no error
	}{
		{^uint64(0), ""},
		{network | 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON, ""},
		{network | 1<<unix.CAP_SYS_ADMIN, ""},
		{network | 1<<unix.CAP_BPF, "CAP_PERFMON missing"},
		{0, "CAP_NET_ADMIN and CAP_NET_RAW and CAP_BPF and CAP_PERFMON missing"},
	} {
		err := missing(c.have)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%#x: %v; want %q", c.have, err, c.want)
		}
	}
}
