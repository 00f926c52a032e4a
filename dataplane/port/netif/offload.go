package netif

import (
	"golang.org/x/sys/unix"
)

// lroFlag is ETH_FLAG_LRO of ETHTOOL_GFLAGS.
const lroFlag = 1 << 15

// OffloadHint returns the command that keeps super-packets and unfinished checksums away from an interface, ready for a shell. On
// a veth pair it is the other end's offloads that make them, which cannot be seen from another namespace; the command then says so
// in a comment.
func (h *Handle) OffloadHint(name string) string {
	offloads := "tx off tso off gso off gro off"
	if h.largeReceive(name) {
		offloads += " lro off"
	}
	hint := "ethtool -K " + name + " " + offloads
	if h.Driver(name) == "veth" {
		hint += "  # and the same for its veth peer, in the peer's network namespace"
	}
	return hint
}

// largeReceive reports whether the interface's NIC joins what it receives.
func (h *Handle) largeReceive(name string) bool {
	return h.Value(name, unix.ETHTOOL_GFLAGS)&lroFlag != 0
}
