package hostmode

import (
	"errors"
	"syscall"
	"time"

	"linecrypt/ctrlplane/instance"
)

// How long a data plane whose supervisor is gone may take to end, before it is killed and afterwards.
const (
	endsBy     = 700 * time.Millisecond
	isGoneBy   = 5 * time.Second
	lookAtEnds = 10 * time.Millisecond
)

// Sweep does what a supervisor that was killed would have done behind the end of the data plane: it aborts the connections that this has left
// encrypted, and takes the guards off the interfaces, where Options do not ask for them. Names says how the interfaces are named at the moment.
func Sweep(in *instance.Instance, o Options, names func() []string) error {
	others, err := AbortOrphans(in)
	if err != nil {
		return err
	}
	if _, left := in.LeftSegment(); o.Guard || left && (o.Container || others) {
		return nil
	}
	var errs []error
	for _, name := range names() {
		_, err := Open(name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// AwaitEnd returns once the data plane, which the kernel tells of its supervisor's end, has ended itself. One that stands still is killed.
func AwaitEnd(in *instance.Instance) error {
	for start := time.Now(); time.Since(start) < isGoneBy; time.Sleep(lookAtEnds) {
		pid, runs := in.Running(instance.DataPlane)
		if !runs {
			return nil
		}
		if pid > 0 && time.Since(start) > endsBy {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return errors.New("the data plane does not end")
}
