package hostmode

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// needed are the capabilities that host mode works with. Without CAP_PERFMON the kernel takes programs for suspect that choose between two
// pointers; CAP_SYS_ADMIN stands for the last two.
var needed = []struct {
	name   string
	number uint
}{{"CAP_NET_ADMIN", unix.CAP_NET_ADMIN}, {"CAP_NET_RAW", unix.CAP_NET_RAW}, {"CAP_BPF", unix.CAP_BPF}, {"CAP_PERFMON", unix.CAP_PERFMON}}

// checkRights names the capabilities that are missing. Root of the machine has them all.
func checkRights() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("ask for capabilities: %w", err)
	}
	return missing(uint64(data[0].Effective) | uint64(data[1].Effective)<<32)
}

func missing(have uint64) error {
	var lack []string
	for _, c := range needed {
		if have>>c.number&1 == 0 && (c.number != unix.CAP_BPF && c.number != unix.CAP_PERFMON || have>>unix.CAP_SYS_ADMIN&1 == 0) {
			lack = append(lack, c.name)
		}
	}
	if lack == nil {
		return nil
	}
	var all []string
	for _, c := range needed {
		all = append(all, strings.ToLower(c.name[len("CAP_"):]))
	}
	list := "+" + strings.Join(all, ",+")
	return fmt.Errorf("%s missing: run it as root, or with `setpriv --reuid USER --regid GROUP --clear-groups --inh-caps %s --ambient-caps %s`", strings.Join(lack, " and "), list, list)
}
