package topology

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// UserNamespace returns the attributes of a process that is root in a user namespace of its own, where a user who is not
// root may make network namespaces. The process calls Settle first.
func UserNamespace() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Setpgid:     true,
	}
}

// Settle makes a new user namespace habitable: the folders for the names of namespaces and for shared memory, which
// belong to the machine's root, are replaced by empty ones that no one else sees and that vanish with the last process.
func Settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("user namespace: keep mounts private: %w", err)
	}
	for _, dir := range []string{"/run", "/dev/shm"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
			return fmt.Errorf("user namespace: mount a tmpfs on %s: %w", dir, err)
		}
	}
	return nil
}
