package cli

import (
	"fmt"
	"os"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/instance"
)

// becomeOwner makes root that asks an instance which another user runs, as the one of a Debian package, that user: an instance's folder,
// its memory and its locks are for its user alone, and nobody gains by becoming less than root. Everybody else stays who they are.
func becomeOwner(name string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, ok := instance.Owner(name)
	if !ok || uid == 0 {
		return nil
	}
	if _, err := instance.Find(name); err == nil {
		return nil // root runs one of the same name
	}
	gid := uid
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		if gid, err = strconv.Atoi(u.Gid); err != nil {
			return fmt.Errorf("group of user %s: %w", u.Username, err)
		}
	}
	if err := unix.Setgroups(nil); err != nil {
		return fmt.Errorf("instance %q belongs to user %d: %w", name, uid, err)
	}
	if err := unix.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("instance %q belongs to user %d: %w", name, uid, err)
	}
	if err := unix.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("instance %q belongs to user %d: %w", name, uid, err)
	}
	return nil
}
