//go:build dpdk && cgo

package dpdk

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// withCapabilities runs f on a thread with these capabilities alone, which ends with f.
func withCapabilities(t *testing.T, keep uint64, f func()) {
	t.Helper()
	testenv.NeedRoot(t)
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
		withCapabilities(t, c.keep, func() {
			err := xdpRights(c.umem)
			if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !errors.Is(err, os.ErrPermission)) {
				t.Errorf("%s: %v", c.name, err)
			}
		})
	}
}

func TestOpenWithoutRightsNamesThem(t *testing.T) {
	dev, _ := testenv.Veth(t, "", "")
	withCapabilities(t, 1<<unix.CAP_NET_RAW, func() {
		_, err := Open(vdev("net_af_xdp", ",iface="+dev), port.Config{Queues: 1, Caches: []*mbuf.Cache{mbuf.NewCache(testPool)}})
		if err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN and CAP_BPF") {
			t.Errorf("got %v", err)
		}
	})
}
