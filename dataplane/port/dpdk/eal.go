//go:build dpdk && cgo

package dpdk

/*
#include <errno.h>
#include <stdlib.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_version.h>
#include "log.h"

static int
lc_eal_init(int argc, char **argv)
{
	int rc = rte_eal_init(argc, argv);

	if (rc < 0)
		errno = rte_errno;
	return rc;
}
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/hugepages"
)

// Options say how EAL starts.
type Options struct {
	// Name separates instances on one machine (EAL's --file-prefix).
	Name string
	// MemMB is the memory in MiB for buffers and DPDK's tables, see the function MemMB. 0 means 512.
	MemMB int
	// PCI makes physical devices available to Open; without it EAL leaves the PCI bus alone.
	PCI bool
	// NoHuge keeps to ordinary pages even where huge pages are free.
	NoHuge bool
	// LogLevel is the least level that is logged into error texts (EAL's --log-level); empty means notice.
	LogLevel string
	// Args are further EAL arguments.
	Args []string
}

// Info says how EAL started.
type Info struct {
	Version   string // DPDK's, such as "DPDK 22.11.11"
	HugePages bool
	// Reason says why there are no huge pages; empty when there are.
	Reason string
	MemMB  int
	// IOVA is "va" or "pa": the kind of address that devices are given.
	IOVA string
	Args []string // EAL's arguments as passed
}

var errNoInit = errors.New("EAL is not initialised")

// EAL is one for a process and cannot be started twice, so the record that it was is the process's too.
var eal struct {
	sync.Mutex
	tried bool
	up    bool
}

// Init starts EAL. A process can do so once; a failed attempt is final too. The memory is private to the process and
// leaves no file behind.
func Init(opts Options) (Info, error) {
	eal.Lock()
	defer eal.Unlock()
	if eal.tried {
		return Info{}, errors.New("dpdk: EAL was started before in this process")
	}
	info := Info{Version: C.GoString(C.rte_version()), MemMB: opts.MemMB}
	if info.MemMB == 0 {
		info.MemMB = 512
	}
	info.Reason = hugepageObstacle(opts.NoHuge, info.MemMB)
	info.HugePages = info.Reason == ""
	cpus, err := allowedCPUs()
	if err != nil {
		return Info{}, err
	}
	info.Args = ealArgs(opts, info, cpus)
	if rc, err := C.lc_log_capture(); rc != 0 {
		return Info{}, fmt.Errorf("dpdk: capture EAL's log: %w", err)
	}
	eal.tried = true
	err = ealInit(info.Args)
	// EAL makes its run directory also when nothing goes into it; with something in it, it stays.
	_ = os.Remove(C.GoString(C.rte_eal_get_runtime_dir()))
	if err != nil {
		return Info{}, fmt.Errorf("dpdk: start EAL with %q: %w", info.Args, err)
	}
	eal.up = true
	C.lc_log_capture_libs()
	info.IOVA = "pa"
	if C.rte_eal_iova_mode() == C.RTE_IOVA_VA {
		info.IOVA = "va"
	}
	return info, nil
}

func initialised() bool {
	eal.Lock()
	defer eal.Unlock()
	return eal.up
}

// ealArgs gives EAL one logical core that floats over all CPUs: its threads are ours to make and to pin.
func ealArgs(opts Options, info Info, cpus string) []string {
	level := opts.LogLevel
	if level == "" {
		level = "notice"
	}
	args := []string{"linecrypt", "--no-telemetry", "--log-level=" + level,
		"--file-prefix=linecrypt-" + opts.Name, "--lcores=0@(" + cpus + ")", "-m", strconv.Itoa(info.MemMB)}
	if info.HugePages {
		args = append(args, "--in-memory")
	} else {
		// In ordinary pages the memory is private anyhow, and EAL refuses to be told so.
		args = append(args, "--no-huge", "--no-shconf")
	}
	if opts.PCI {
		// An allow list with nothing on it: a device is probed when Open names it, not before.
		args = append(args, "--allow=0000:00:00.0")
	} else {
		args = append(args, "--no-pci", "--iova-mode=va")
	}
	return append(args, opts.Args...)
}

// ealInit runs rte_eal_init on a thread whose CPU affinity it then restores, because EAL binds the thread to its core.
func ealInit(args []string) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return fmt.Errorf("read CPU affinity: %w", err)
	}
	// EAL keeps pointers into its arguments, so they are never freed.
	argv := unsafe.Slice((**C.char)(C.calloc(C.size_t(len(args)+1), C.size_t(unsafe.Sizeof((*C.char)(nil))))), len(args)+1)
	for i, a := range args {
		argv[i] = C.CString(a)
	}
	if rc, err := C.lc_eal_init(C.int(len(args)), &argv[0]); rc < 0 {
		return withLog(err)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("restore CPU affinity: %w", err)
	}
	return nil
}

// hugepageObstacle returns why EAL cannot have mb MiB in huge pages, or "".
func hugepageObstacle(unwanted bool, mb int) string {
	if unwanted {
		return "not wanted"
	}
	st, err := hugepages.Read("/")
	if err != nil {
		return err.Error()
	}
	if free := st.FreeBytes() >> 20; free < uint64(mb) {
		return fmt.Sprintf("%d MiB of huge pages are free, %d MiB are needed", free, mb)
	}
	return ""
}

// allowedCPUs lists the CPUs the process may run on, in EAL's syntax.
func allowedCPUs() (string, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return "", fmt.Errorf("dpdk: read CPU affinity: %w", err)
	}
	var cpus []string
	for i := range 8 * int(unsafe.Sizeof(set)) {
		if set.IsSet(i) {
			cpus = append(cpus, strconv.Itoa(i))
		}
	}
	return strings.Join(cpus, ","), nil
}

// discardLog forgets what DPDK logged so far.
func discardLog() {
	var buf [1]C.char
	C.lc_log_take(&buf[0], 1)
}

// withLog adds to err the last lines DPDK logged, which say what its error numbers do not.
func withLog(err error) error {
	const size = 1024
	buf := (*C.char)(C.malloc(size))
	defer C.free(unsafe.Pointer(buf))
	C.lc_log_take(buf, size)
	var lines []string
	for line := range strings.Lines(C.GoString(buf)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(lines[max(0, len(lines)-4):], "; "))
}
