package netif

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtool fills in a structure of an ethtool command.
func (h *Handle) ethtool(name string, arg unsafe.Pointer) error {
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: arg}
	if len(name) >= len(request.name) {
		return ErrNone
	}
	copy(request.name[:], name)
	h.mu.Lock()
	defer h.mu.Unlock()
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(h.ctl), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return errno
	}
	return nil
}

// channels is struct ethtool_channels.
type channels struct {
	cmd                                        uint32
	maxRx, maxTx, maxOther, maxCombined        uint32
	rxCount, txCount, otherCount, combineCount uint32
}

// RxQueues returns the number of receive queues that the interface uses, 1 where its driver does not tell.
func (h *Handle) RxQueues(name string) int {
	c := channels{cmd: unix.ETHTOOL_GCHANNELS}
	if h.ethtool(name, unsafe.Pointer(&c)) != nil {
		return 1
	}
	return max(1, int(min(c.rxCount+c.combineCount, 1<<16)))
}

// QueuesHint returns the command that makes the interface use n receive queues, ready for a shell.
func (h *Handle) QueuesHint(name string, n int) string {
	kind := "combined"
	c := channels{cmd: unix.ETHTOOL_GCHANNELS}
	if h.ethtool(name, unsafe.Pointer(&c)) == nil && c.maxCombined == 0 {
		kind = "rx"
	}
	return fmt.Sprintf("ethtool -L %s %s %d", name, kind, n)
}

// Value asks one of the ethtool commands that answer with a number; what the interface does not know is 0.
func (h *Handle) Value(name string, cmd uint32) uint32 {
	v := struct{ cmd, data uint32 }{cmd: cmd}
	if h.ethtool(name, unsafe.Pointer(&v)) != nil {
		return 0
	}
	return v.data
}

// Driver returns the name of the interface's driver, or nothing when it cannot be had.
func (h *Handle) Driver(name string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	info, err := unix.IoctlGetEthtoolDrvinfo(h.ctl, name)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Driver[:])
}
