package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// readyFD is the descriptor on which a child reports that it is ready: the first one after the standard three.
const readyFD = "3"

// child is a process that run started.
type child struct {
	name    string
	cmd     *exec.Cmd
	started time.Time
	// ready is closed when the child has reported that it is ready.
	ready chan struct{}
	// done delivers the child's end once.
	done chan error
	// told is closed when the child has no more to report; reason is then why it could not begin, if it has said so.
	told   chan struct{}
	reason string
}

// startChild starts a program with args and --ready-fd. What it writes to standard output and standard error goes to out. It has the files of
// keep open as long as it runs.
// The kernel sends it SIGTERM when this process dies, however that happens.
func startChild(name, path string, args []string, out io.Writer, keep ...*os.File) (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the %s: %w", name, err)
	}
	cmd := exec.Command(path, append(append([]string(nil), args...), "--ready-fd", readyFD)...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = append([]*os.File{w}, keep...)
	// A group of its own keeps the terminal's SIGINT from the child: run decides in which order the two end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
	c := &child{name: name, cmd: cmd, started: time.Now(), ready: make(chan struct{}), told: make(chan struct{}), done: make(chan error, 1)}
	started := make(chan error)
	go c.live(started)
	err = <-started
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("start the %s: %w", name, err)
	}
	go c.awaitReady(r)
	return c, nil
}

// live starts the process and waits for its end on one locked thread: the kernel sends Pdeathsig when the thread that
// started the process ends, not only when the whole of this process does.
func (c *child) live(started chan<- error) {
	runtime.LockOSThread()
	err := c.cmd.Start()
	started <- err
	if err == nil {
		c.done <- c.cmd.Wait()
	}
}

// reasonPrefix begins a report that is not that the child is ready: why it could not begin follows.
const reasonPrefix = "failed: "

// maxReport bounds what is read of a report.
const maxReport = 4096

// awaitReady takes any whole line as the report that the child is ready, but for one that says why it could not begin, and the end of the
// pipe without a line as none.
func (c *child) awaitReady(r *os.File) {
	defer close(c.told)
	defer r.Close()
	line, err := bufio.NewReaderSize(io.LimitReader(r, maxReport), maxReport).ReadString('\n')
	if reason, failed := strings.CutPrefix(line, reasonPrefix); failed {
		c.reason = strings.TrimSpace(reason)
	} else if err == nil {
		close(c.ready)
	}
}

// why returns the error of a child that has ended, with what it said of it.
func (c *child) why(err error) error {
	<-c.told // the pipe ends with the child at the latest
	if c.reason == "" {
		return err
	}
	if err == nil {
		return errors.New(c.reason)
	}
	return fmt.Errorf("%w: %s", err, c.reason)
}

// stop ends the child: SIGTERM, and SIGKILL after the grace time or when another signal arrives meanwhile. A child that
// SIGTERM ended, before it could handle it, has ended as it should.
func (c *child) stop(grace time.Duration, signals <-chan os.Signal) error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	for {
		select {
		case err := <-c.done:
			if endedBy(err) == syscall.SIGTERM {
				return nil
			}
			return err
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				continue
			}
			_ = c.cmd.Process.Kill()
			return fmt.Errorf("had not ended yet when another signal came, and was killed: %w", <-c.done)
		case <-timer.C:
			_ = c.cmd.Process.Kill()
			return fmt.Errorf("did not end within %v of SIGTERM and was killed: %w", grace, <-c.done)
		}
	}
}

// endedBy returns the signal that ended a process, 0 if it ended by itself.
func endedBy(err error) syscall.Signal {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return ws.Signal()
		}
	}
	return 0
}
