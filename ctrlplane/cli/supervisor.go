package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// timing is how patient the supervisor is.
type timing struct {
	grace      time.Duration // between SIGTERM and SIGKILL
	backoff    time.Duration // before the control plane is started again, at first
	maxBackoff time.Duration // at last
	foreign    time.Duration // between looks at a control plane that somebody else started
}

var defaultTiming = timing{grace: 5 * time.Second, backoff: time.Second, maxBackoff: 30 * time.Second, foreign: 500 * time.Millisecond}

// hooks are what a gateway or a host adds to a supervisor. Each may be nil.
type hooks struct {
	keep  []*os.File   // the data plane has them open
	ready func() error // called once packets flow, before that is announced
	ended func() error // called as soon as the data plane has ended, asked to or not, and before it is awaited that one that stands still does
}

// supervisor runs the two processes of an instance. It is one loop over what can happen: a signal, a report that a
// process is ready, the end of a process, or the time to start the control plane again.
type supervisor struct {
	in       *instance.Instance
	args     []string
	stdout   io.Writer
	stderr   io.Writer
	dataPath string
	ctrlPath string
	timing   timing
	hooks    hooks

	data, ctrl *child          // ctrl is nil while no control plane of ours runs
	still      <-chan struct{} // closed when the data plane stands still; nil while nobody looks
	backoff    time.Duration
	again      *time.Timer // when it fires, the control plane is to be started
	waiting    bool        // a control plane that somebody else started holds the lock

	dataReady, ctrlReady, announced bool
}

// run returns nil after a signal that asks for the end, and otherwise why the gateway cannot go on. Both processes have
// ended then.
func (s *supervisor) run(signals <-chan os.Signal) error {
	var err error
	if s.data, err = startChild("data plane", s.dataPath, s.args, s.stderr, s.hooks.keep...); err != nil {
		return err
	}
	s.backoff = s.timing.backoff
	s.again = time.NewTimer(0)
	defer s.again.Stop()
	for err == nil {
		select {
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return s.end(signals)
			}
			s.reload()
		case err := <-s.data.done:
			return errors.Join(dataPlaneEnded(s.data.why(err)), s.leave(), s.stopControl(signals), s.clear())
		case <-s.still:
			err = s.killStill()
		case err = <-s.ctrlDone():
			err = s.controlEnded(err)
		case <-s.again.C:
			err = s.startControl()
		case <-s.awaiting(s.data, s.dataReady):
			s.dataReady = true
			err = s.announce()
		case <-s.awaiting(s.ctrl, s.ctrlReady):
			s.ctrlReady = true
			if s.announced {
				tell("STATUS=packets flow")
			}
			err = s.announce()
		}
	}
	return errors.Join(err, s.end(signals))
}

func dataPlaneEnded(err error) error {
	if err == nil {
		err = errors.New("without being asked to")
	}
	return fmt.Errorf("the data plane ended: %w", err)
}

// killStill ends a data plane that stands still. The network does not wait for its end, which one that hangs in the kernel may owe.
func (s *supervisor) killStill() error {
	s.still = nil
	fmt.Fprintln(s.stderr, "linecrypt: the data plane does not answer any more; it is killed")
	_ = s.data.cmd.Process.Kill()
	return s.leave()
}

// awaiting returns the channel that reports that c is ready, nil (which never does) if there is nothing to wait for.
func (s *supervisor) awaiting(c *child, ready bool) <-chan struct{} {
	if c == nil || ready {
		return nil
	}
	return c.ready
}

func (s *supervisor) ctrlDone() <-chan error {
	if s.ctrl == nil {
		return nil
	}
	return s.ctrl.done
}

func (s *supervisor) announce() error {
	if !s.dataReady || !s.ctrlReady || s.announced {
		return nil
	}
	if s.hooks.ready != nil {
		if err := s.hooks.ready(); err != nil {
			return err
		}
	}
	s.announced = true
	fmt.Fprintln(s.stdout, "ready")
	tell("READY=1\nSTATUS=packets flow")
	return nil
}

// startControl starts the control plane, unless one that somebody else started is there: then it looks again later.
func (s *supervisor) startControl() error {
	if pid, ok := s.in.Running(instance.ControlPlane); ok {
		if !s.waiting {
			fmt.Fprintf(s.stderr, "linecrypt: a control plane of instance %q runs already (pid %d); it will be replaced when it ends\n", s.in.Name(), pid)
		}
		s.waiting, s.ctrlReady = true, true
		s.again.Reset(s.timing.foreign)
		return s.announce()
	}
	s.waiting, s.ctrlReady = false, false
	var err error
	s.ctrl, err = startChild("control plane", s.ctrlPath, s.args, s.stderr)
	return err
}

// controlEnded decides what the end of the control plane means. One that gave up before the gateway was ever ready has
// been given something it cannot work with, and would give up again.
func (s *supervisor) controlEnded(err error) error {
	lived := time.Since(s.ctrl.started)
	err = s.ctrl.why(err)
	s.ctrl = nil
	if _, ok := s.in.Running(instance.ControlPlane); ok {
		s.again.Reset(0)
		return nil
	}
	if !s.announced && endedBy(err) == 0 {
		return fmt.Errorf("the control plane ended before it was ready: %w", orClean(err))
	}
	if lived > s.timing.maxBackoff {
		s.backoff = s.timing.backoff
	}
	fmt.Fprintf(s.stderr, "linecrypt: the control plane ended (%v); encrypted connections go on, new ones follow the policy; starting it again in %v\n",
		orClean(err), s.backoff)
	tell(fmt.Sprintf("STATUS=the control plane ended (%v); it is started again", orClean(err)))
	s.again.Reset(s.backoff)
	s.backoff = min(2*s.backoff, s.timing.maxBackoff)
	return nil
}

func orClean(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// reload passes SIGHUP on.
func (s *supervisor) reload() {
	if s.ctrl != nil {
		_ = s.ctrl.cmd.Process.Signal(syscall.SIGHUP)
	}
}

// end stops both processes, the data plane first so that the control plane can serve it to the end, and clears what the
// instance left.
func (s *supervisor) end(signals <-chan os.Signal) error {
	tell("STOPPING=1")
	err := s.data.stop(s.timing.grace, signals)
	if err != nil {
		err = fmt.Errorf("the data plane: %w", err)
	}
	return errors.Join(err, s.leave(), s.stopControl(signals), s.clear())
}

// leave does what is to be done as soon as there is no data plane.
func (s *supervisor) leave() error {
	if s.hooks.ended == nil {
		return nil
	}
	return s.hooks.ended()
}

// clear takes away what the instance left. Connections that a data plane which was killed had encrypted stay for the next one, which resets
// them: this one, or an earlier one, where this one could not even begin.
func (s *supervisor) clear() error {
	if orphans(s.in) > 0 {
		return s.forgetKeys()
	}
	return s.remove()
}

// orphans returns how many connections of an instance that does not run are left for the next data plane to reset.
func orphans(in *instance.Instance) (n int) {
	for _, dir := range in.LeftSegments() {
		shm.RangeLeft(dir, in.Name(), func(r *flowtable.Record) {
			if r.MustEnd() {
				n++
			}
		})
	}
	return n
}

// remove takes away what the instance left, unless another process of it runs.
func (s *supervisor) remove() error {
	if err := s.in.Remove(); err != nil && !errors.Is(err, instance.ErrRunning) {
		return err
	}
	return nil
}

// forgetKeys leaves the segment of a data plane that was killed to the next one, which resets its connections, but not their keys:
// nobody is left who would use or guard them.
func (s *supervisor) forgetKeys() error {
	var errs []error
	for _, dir := range s.in.LeftSegments() {
		err := shm.ForgetKeys(dir, s.in.Name())
		if errors.Is(err, shm.ErrBusy) {
			return nil // another data plane has begun, and owns it
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (s *supervisor) stopControl(signals <-chan os.Signal) error {
	if s.ctrl == nil {
		return nil
	}
	if err := s.ctrl.stop(s.timing.grace, signals); err != nil {
		return fmt.Errorf("the control plane: %w", err)
	}
	return nil
}
