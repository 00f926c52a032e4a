package topology

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/hugepages"
)

// GatewayMemory is what the buffers of two gateways with DPDK ports need together, with room to spare, in bytes.
const GatewayMemory = 768 << 20

// Reservation remembers how the machine's huge pages were before.
type Reservation struct {
	Text string // what was reached, for people
	Huge bool   // all that was asked for was reached

	before  hugepages.State
	changed bool
	madeDir bool
}

// ReserveHugepages reserves huge pages for so many bytes beside what is in use. Where that fails, DPDK's programs and the gateway's use
// ordinary pages (EAL's --no-huge), which they find out by themselves. The caller calls Restore when they have ended.
func ReserveHugepages(bytes uint64) *Reservation {
	r := &Reservation{}
	before, err := hugepages.Read("/")
	if err != nil {
		r.Text = fmt.Sprintf("ordinary pages (--no-huge): %v", err)
		return r
	}
	r.before = before
	_, err = os.Stat(hugepages.MountPoint)
	r.madeDir = os.IsNotExist(err)
	want := before.Total - before.Free + int((bytes+before.PageBytes-1)/before.PageBytes)
	r.changed = true
	state, err := hugepages.Setup(max(want, before.Total))
	if err != nil {
		r.Text = fmt.Sprintf("ordinary pages (--no-huge) where huge ones do not suffice: %v", err)
		return r
	}
	r.Huge = true
	r.Text = fmt.Sprintf("%d MiB in huge pages of %d KiB", state.FreeBytes()>>20, state.PageBytes>>10)
	return r
}

// Restore brings the machine's huge pages back to what they were.
func (r *Reservation) Restore() error {
	if !r.changed {
		return nil
	}
	if err := os.WriteFile("/proc/sys/vm/nr_hugepages", fmt.Appendln(nil, r.before.Total), 0); err != nil {
		return fmt.Errorf("restore huge pages: %w", err)
	}
	now, err := hugepages.Read("/")
	if err != nil {
		return err
	}
	if len(r.before.Mounts) > 0 || !slices.Contains(now.Mounts, hugepages.MountPoint) {
		return nil
	}
	if err := unix.Unmount(hugepages.MountPoint, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", hugepages.MountPoint, err)
	}
	if r.madeDir {
		return os.Remove(hugepages.MountPoint)
	}
	return nil
}
