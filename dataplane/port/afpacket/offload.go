package afpacket

import (
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// lroFlag is ETH_FLAG_LRO of ETHTOOL_GFLAGS.
const lroFlag = 1 << 15

// OffloadHint returns the command that keeps super-packets and unfinished checksums away from the interface, ready for a
// shell, and whether any of the offloads it turns off is on here. On a veth pair it is the far end's offloads that make
// super-packets, and those cannot be seen from this namespace; the command then says so in a comment, and is worth
// printing whenever Stats.RxSuperPacket grows, whatever the second value.
func OffloadHint(ifname string) (string, bool) {
	hint := fmt.Sprintf("ethtool -K %s tx off tso off gso off gro off", ifname)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return hint, false
	}
	defer func() { _ = unix.Close(fd) }()
	if driver(fd, ifname) == "veth" {
		hint += "  # and the same for its veth peer, in the peer's network namespace"
	}
	on := false
	for _, cmd := range []uint32{unix.ETHTOOL_GTSO, unix.ETHTOOL_GGSO, unix.ETHTOOL_GGRO, unix.ETHTOOL_GTXCSUM} {
		on = on || ethtoolValue(fd, ifname, cmd) != 0
	}
	if ethtoolValue(fd, ifname, unix.ETHTOOL_GFLAGS)&lroFlag != 0 {
		hint, on = strings.Replace(hint, "gro off", "gro off lro off", 1), true
	}
	return hint, on
}

// driver returns the name of the interface's driver, or nothing when it cannot be had.
func driver(fd int, ifname string) string {
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, ifname)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Driver[:])
}

// ethtoolValue asks one of the commands that answer with a number; what the interface does not know is 0.
func ethtoolValue(fd int, ifname string, cmd uint32) uint32 {
	value := struct{ cmd, data uint32 }{cmd: cmd}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	if len(ifname) >= len(request.name) {
		return 0
	}
	copy(request.name[:], ifname)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return 0
	}
	return value.data
}
