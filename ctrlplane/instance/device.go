package instance

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Device is a claim of something that carries packets, which one gateway alone may have. It ends with Release or with the
// process.
//
// A claim is an abstract Unix socket. The kernel holds it and takes it away with the process, however that ends; it is known to
// every process of the network namespace, whatever the instance's name, its run folder, its user and its view of the file
// system; and in another network namespace, where an interface of the same number is another one, it is not. A lock on a file
// would be none of this. What it costs: a local user of the namespace who wants to can keep a gateway from starting, and is
// found by `ss -xlp`.
type Device struct {
	fds [2]int
}

// DeviceError says who has a device.
type DeviceError struct {
	Device   string // as in messages, such as `interface eth0`
	Instance string // empty if it is not known
	PID      int    // 0 if it is not known
}

// Error returns `interface eth0 is a port of instance "x" already (data plane, pid 7)`.
func (e *DeviceError) Error() string {
	if e.Instance == "" {
		return e.Device + " is a port of another gateway already"
	}
	return fmt.Sprintf("%s is a port of instance %q already (data plane, pid %d)", e.Device, e.Instance, e.PID)
}

// Unwrap returns ErrRunning.
func (e *DeviceError) Unwrap() error { return ErrRunning }

// devicePrefix begins the names of all claims.
const devicePrefix = "linecrypt/port/"

// ClaimInterface claims a network interface of the calling thread's network namespace by its number, which it keeps under every
// name. Name is for messages. Where another gateway has it, the error is a *DeviceError.
func (in *Instance) ClaimInterface(index int, name string) (*Device, error) {
	return in.claimDevice("interface/"+strconv.Itoa(index), "interface "+name)
}

// CheckInterface returns a *DeviceError where a gateway has a network interface of the calling thread's network namespace. It claims nothing
// itself, so that a gateway which begins at that moment is not kept out.
func CheckInterface(index int, name string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	defer unix.Close(fd)
	key := "interface/" + strconv.Itoa(index)
	switch err := unix.Connect(fd, &unix.SockaddrUnix{Name: "@" + devicePrefix + key}); {
	case err == nil:
		return holder(key, "interface "+name)
	case errors.Is(err, unix.ECONNREFUSED): // there is no such socket
		return nil
	default:
		return fmt.Errorf("interface %s: %w", name, err)
	}
}

// ClaimPCI claims a PCI device by its address. Only gateways of the same network namespace are kept out; those of others the
// kernel's driver (vfio-pci) refuses.
func (in *Instance) ClaimPCI(address string) (*Device, error) {
	return in.claimDevice("pci/"+address, "PCI device "+address)
}

func (in *Instance) claimDevice(key, label string) (*Device, error) {
	lock, err := bindAbstract(devicePrefix + key)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, holder(key, label)
	}
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", label, err)
	}
	// The second socket only tells others whose the first one is.
	note, err := bindAbstract(fmt.Sprintf("%s%s/%s/%d", devicePrefix, key, in.name, os.Getpid()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("claim %s: %w", label, err), unix.Close(lock))
	}
	return &Device{fds: [2]int{lock, note}}, nil
}

// Release gives the device up.
func (d *Device) Release() {
	for _, fd := range d.fds {
		_ = unix.Close(fd)
	}
	d.fds = [2]int{-1, -1}
}

// bindAbstract returns a socket of that abstract name. Nobody talks to it.
func bindAbstract(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: "@" + name}); err == nil {
		err = unix.Shutdown(fd, unix.SHUT_RD)
	}
	if err != nil {
		return -1, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// holder finds out whose claim it is.
func holder(key, label string) *DeviceError {
	e := &DeviceError{Device: label}
	// The list is that of the thread's namespace, so the thread must not change.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f, err := os.Open("/proc/thread-self/net/unix")
	if err != nil {
		return e
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		_, rest, found := strings.Cut(sc.Text(), "@"+devicePrefix+key+"/")
		if !found {
			continue
		}
		name, pid, _ := strings.Cut(rest, "/")
		n, err := strconv.Atoi(pid)
		if err == nil && n > 0 && CheckName(name) == nil {
			e.Instance, e.PID = name, n
			return e
		}
	}
	return e
}
