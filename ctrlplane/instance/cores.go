package instance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	// coresFolder cannot be the folder of an instance: no name begins with a dot.
	coresFolder = ".cores"
	// maxCore bounds core numbers as the kernel's CPU set does.
	maxCore = 1024
	// maxShare bounds how many workers may claim one core.
	maxShare = 64
)

// Cores are claims of cores for the workers of an instance. They end with Release or with the process.
type Cores struct {
	// Numbers are the core numbers in worker order.
	Numbers []int
	// Shared is set when some core already had a worker, of this instance or another.
	Shared bool

	claims []*os.File
}

// ClaimCores claims cores for workers. The cores of want are taken as they are; they must be among those that the process
// may run on. If want is empty, n cores are chosen: the highest-numbered ones that nobody has claimed, and once there is
// none left, those with the fewest claims. Claims are known to the instances below one base folder.
func (in *Instance) ClaimCores(want []int, n int) (*Cores, error) {
	allowed, err := AllowedCores()
	if err != nil {
		return nil, err
	}
	if err := makeOwn(filepath.Join(in.base, coresFolder)); err != nil {
		return nil, fmt.Errorf("instance %q: claims of cores: %w", in.name, err)
	}
	c := &Cores{}
	if len(want) > 0 {
		err = c.take(in, want, allowed)
	} else {
		err = c.choose(in, n, allowed)
	}
	if err != nil {
		c.Release()
		return nil, err
	}
	return c, nil
}

func (c *Cores) take(in *Instance, want, allowed []int) error {
	for _, core := range want {
		if err := CheckCore(core, allowed); err != nil {
			return err
		}
		if err := c.claimAny(in, core); err != nil {
			return err
		}
	}
	return nil
}

// CheckCore returns an error unless core is among the allowed ones.
func CheckCore(core int, allowed []int) error {
	if slices.Contains(allowed, core) {
		return nil
	}
	return fmt.Errorf("core %d is not one that this process may run on (it may on %v)", core, allowed)
}

func (c *Cores) claimAny(in *Instance, core int) error {
	for share := range maxShare {
		ok, err := c.claim(in, core, share)
		if ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("core %d has %d claims already", core, maxShare)
}

// choose goes round after round over the cores, each round accepting one worker more on a core.
func (c *Cores) choose(in *Instance, n int, allowed []int) error {
	for share := range maxShare {
		for i := len(allowed) - 1; i >= 0 && len(c.Numbers) < n; i-- {
			if _, err := c.claim(in, allowed[i], share); err != nil {
				return err
			}
		}
		if len(c.Numbers) == n {
			return nil
		}
	}
	return fmt.Errorf("%d cores cannot hold %d more workers", len(allowed), n)
}

// claim takes the share-th claim of a core; ok is false if it is taken.
func (c *Cores) claim(in *Instance, core, share int) (ok bool, err error) {
	path := filepath.Join(in.base, coresFolder, fmt.Sprintf("%d.%d", core, share))
	f, err := lockFile(path)
	if errors.Is(err, errHeld) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("claim of core %d: %w", core, err)
	}
	if !sameFile(f, path) {
		f.Close()
		return c.claim(in, core, share)
	}
	c.claims = append(c.claims, f)
	c.Numbers = append(c.Numbers, core)
	c.Shared = c.Shared || share > 0
	return true, nil
}

// Release gives all claims up.
func (c *Cores) Release() {
	for _, f := range c.claims {
		_ = os.Remove(f.Name())
		f.Close()
	}
	c.claims = nil
}

// AllowedCores returns the cores that this process, and so a worker that it starts, may run on.
func AllowedCores() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("cores this process may run on: %w", err)
	}
	var cores []int
	for i := range maxCore {
		if set.IsSet(i) {
			cores = append(cores, i)
		}
	}
	return cores, nil
}
