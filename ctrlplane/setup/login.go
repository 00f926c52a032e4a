package setup

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// SSHPeer returns the address from which the process pid was started by SSH, empty where it was not. Programs like sudo take the variable
// away, so those that started the process are asked as well.
func SSHPeer(root string, pid int) string {
	s := System{Root: root}
	for range 64 {
		process := filepath.Join("proc", strconv.Itoa(pid))
		for v := range strings.SplitSeq(s.read(process, "environ"), "\x00") {
			if value, ok := strings.CutPrefix(v, "SSH_CONNECTION="); ok {
				peer, _, _ := strings.Cut(value, " ")
				return peer
			}
		}
		_, rest, _ := strings.Cut(s.read(process, "status"), "PPid:")
		parent, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
		var err error
		if pid, err = strconv.Atoi(strings.TrimSpace(parent)); err != nil || pid <= 1 {
			return ""
		}
	}
	return ""
}

// needed returns why an interface must not go: the machine is reached by it, or by a device above it, such as a bridge. It is empty where it
// may.
func (s *System) needed(dev string) string {
	family := map[string]bool{}
	s.above(dev, family)
	for _, r := range s.routes() {
		if r.prefix.Bits() == 0 && family[r.dev] {
			return "the default route leads through " + r.dev
		}
	}
	if via := s.wayTo(s.Peer); via != "" && family[via] {
		return "you are logged in through " + via + ", from " + s.Peer
	}
	return ""
}

// above collects an interface and all those above it.
func (s *System) above(dev string, found map[string]bool) {
	if found[dev] {
		return
	}
	found[dev] = true
	entries, _ := os.ReadDir(s.path("sys/class/net", dev))
	for _, e := range entries {
		if upper, ok := strings.CutPrefix(e.Name(), "upper_"); ok {
			s.above(upper, found)
		}
	}
	if master := s.link("sys/class/net", dev, "master"); master != "" {
		s.above(master, found)
	}
}

// wayTo returns the interface through which an address is reached.
func (s *System) wayTo(address string) string {
	peer, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	if peer.Zone() != "" {
		return peer.Zone()
	}
	peer = peer.Unmap()
	best, bits := "", -1
	for _, r := range s.routes() {
		if r.prefix.Contains(peer) && r.prefix.Bits() > bits {
			best, bits = r.dev, r.prefix.Bits()
		}
	}
	return best
}

type route struct {
	prefix netip.Prefix
	dev    string
}

// routes returns those of the main table, IPv4 and IPv6. A line that cannot be read is left out.
func (s *System) routes() []route {
	var all []route
	for line := range strings.Lines(s.read("proc/net/route")) {
		if f := strings.Fields(line); len(f) >= 8 {
			dst, err1 := strconv.ParseUint(f[1], 16, 32)
			mask, err2 := strconv.ParseUint(f[7], 16, 32)
			if err1 == nil && err2 == nil {
				all = append(all, route{netip.PrefixFrom(v4(uint32(dst)), ones(v4(uint32(mask)))), f[0]})
			}
		}
	}
	for line := range strings.Lines(s.read("proc/net/ipv6_route")) {
		f := strings.Fields(line)
		if len(f) < 10 || f[9] == "lo" {
			continue
		}
		raw, err1 := hex.DecodeString(f[0])
		bits, err2 := strconv.ParseUint(f[1], 16, 8)
		if addr, ok := netip.AddrFromSlice(raw); ok && err1 == nil && err2 == nil && bits <= 128 {
			all = append(all, route{netip.PrefixFrom(addr, int(bits)), f[9]})
		}
	}
	return all
}

// v4 is an address as the table has it, in the order of bytes of the machine, which is taken to be little-endian.
func v4(n uint32) netip.Addr {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

func ones(mask netip.Addr) int {
	n := 0
	for _, b := range mask.AsSlice() {
		for ; b != 0; b <<= 1 {
			n++
		}
	}
	return n
}
