package netif

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
)

func TestWhatAFXDPIsNotPermittedIsNamed(t *testing.T) {
	const all = 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_BPF
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		t.Fatal(err)
	}
	small := limit
	small.Cur = min(limit.Cur, 8<<20)
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &small); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit) }()
	for _, c := range []struct {
		name string
		keep uint64
		umem uint64
		want string
	}{
		{"nothing is missing", all, 1 << 20, ""},
		{"everything is missing", 0, 1 << 20, "lacks CAP_NET_ADMIN and CAP_NET_RAW and CAP_BPF"},
		{"one is missing", all &^ (1 << unix.CAP_BPF), 1 << 20, "lacks CAP_BPF;"},
		{"CAP_SYS_ADMIN will do", all&^(1<<unix.CAP_BPF) | 1<<unix.CAP_SYS_ADMIN, 1 << 20, ""},
		{"memory", all, 64 << 20, "locks 64 MiB of memory, RLIMIT_MEMLOCK allows 8"},
		{"CAP_IPC_LOCK", all | 1<<unix.CAP_IPC_LOCK, 64 << 20, ""},
	} {
		testenv.WithCapabilities(t, c.keep, func() {
			err := XDPRights(c.umem)
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !errors.Is(err, os.ErrPermission)) {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
}
