package netif

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// RoutesBeside returns the command that keeps the kernel from routing what hosts send to its own addresses on the interfaces,
// ready for a shell, or "" when it does not. Hosts that have one of these addresses for their router go around the gateway: the
// kernel hands their plaintext on by itself.
func (h *Handle) RoutesBeside(ports ...Interface) (string, error) {
	var has [2]bool
	for family, af := range families {
		n, err := h.addresses(af.number, ports)
		if err != nil {
			return "", err
		}
		has[family] = n > 0
	}
	var args []string
	for _, i := range ports {
		for family, af := range families {
			if i.Forwards[family] && has[family] {
				args = append(args, fmt.Sprintf("net/%s/conf/%s/forwarding=0", af.name, i.Name))
			}
		}
	}
	if len(args) == 0 {
		return "", nil
	}
	return "sysctl -w " + strings.Join(args, " "), nil
}

var families = [2]struct {
	name   string
	number uint8
}{{"ipv4", unix.AF_INET}, {"ipv6", unix.AF_INET6}}

// addresses counts the addresses of a family that are more than link-local on any of the interfaces.
func (h *Handle) addresses(family uint8, ports []Interface) (int, error) {
	body := make([]byte, unix.SizeofIfAddrmsg)
	body[0] = family
	n := 0
	err := h.ask(unix.RTM_GETADDR, unix.NLM_F_DUMP, body, func(kind uint16, body []byte) {
		if kind != unix.RTM_NEWADDR || len(body) < unix.SizeofIfAddrmsg || body[3] >= unix.RT_SCOPE_LINK {
			return
		}
		for _, i := range ports {
			if int(int32(binary.NativeEndian.Uint32(body[4:]))) == i.Index {
				n++
			}
		}
	})
	if err != nil {
		return 0, fmt.Errorf("ask for addresses: %w", err)
	}
	return n, nil
}
