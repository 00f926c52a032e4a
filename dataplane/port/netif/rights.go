package netif

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// initialUserNS is what the kernel calls the user namespace that it boots with (PROC_USER_INIT_INO).
const initialUserNS = "user:[4026531837]"

// XDPRights returns nil when the calling thread may open AF_XDP sockets over umem bytes of memory, and otherwise what it lacks. The
// kernel, and DPDK's driver with its libraries, would say no more than that something is not permitted.
func XDPRights(umem uint64) error {
	have, err := capabilities()
	if err != nil {
		return err
	}
	var missing []string
	for _, c := range []struct {
		name string
		any  []uint
	}{
		{"CAP_NET_ADMIN", []uint{unix.CAP_NET_ADMIN}},
		{"CAP_NET_RAW", []uint{unix.CAP_NET_RAW}},
		{"CAP_BPF", []uint{unix.CAP_BPF, unix.CAP_SYS_ADMIN}},
	} {
		ok := false
		for _, bit := range c.any {
			ok = ok || have&(1<<bit) != 0
		}
		if !ok {
			missing = append(missing, c.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("AF_XDP is not permitted: the process lacks %s; run it as root or give it the capabilities: %w",
			strings.Join(missing, " and "), os.ErrPermission)
	}
	if ns, err := os.Readlink("/proc/self/ns/user"); err == nil && ns != initialUserNS {
		return fmt.Errorf("AF_XDP is not permitted in a user namespace, whose capabilities do not count for XDP programs: %w", os.ErrPermission)
	}
	if have&(1<<unix.CAP_IPC_LOCK) != 0 {
		return nil
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return fmt.Errorf("read RLIMIT_MEMLOCK: %w", err)
	}
	if limit.Cur < umem {
		return fmt.Errorf("AF_XDP locks %d MiB of memory, RLIMIT_MEMLOCK allows %d: raise it (`ulimit -l`, systemd's LimitMEMLOCK=) "+
			"or give the process CAP_IPC_LOCK: %w", umem>>20, limit.Cur>>20, os.ErrPermission)
	}
	return nil
}

// capabilities returns the effective capabilities of the calling thread, one bit each.
func capabilities() (uint64, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, errors.Join(errors.New("read capabilities"), err)
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32, nil
}
