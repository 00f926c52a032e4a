package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/bench/packetpath"
	"linecrypt/ctrlplane/instance"
)

// name is that of the instance.
const name = "watched"

// patience is how long a program may take to begin.
const patience = 20 * time.Second

// tops is how many linecrypt top there are: each one that has a turn was asleep for longer than a refresh, so that it begins one at once.
const tops = 4

// bed is a worker with the programs that look at it.
type bed struct {
	ctx     context.Context
	dir     string // of the instance
	bin     string // where the programs are
	world   *packetpath.World
	control *exec.Cmd
	log     bytes.Buffer // of the control plane
	address string       // of the page
	tops    [tops]top
	awake   int          // number of turns of linecrypt top
	point   atomic.Int64 // when the page got its last point, in ns of the unix clock
	points  atomic.Int64
	lists   atomic.Int64 // that the page got

	begun                time.Time
	controlUsed, topUsed time.Duration // before
}

// top is a linecrypt top in a terminal, which stands still but when it is woken.
type top struct {
	cmd    *exec.Cmd
	screen *os.File
	drawn  atomic.Int64 // bytes
}

func newBed(ctx context.Context) (b *bed, err error) {
	b = &bed{ctx: ctx}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return b, err
	}
	b.bin = filepath.Dir(self)
	if b.dir, err = os.MkdirTemp("", "linecrypt-watching-"); err != nil {
		return b, err
	}
	if err := os.Setenv(instance.EnvRunDir, b.dir); err != nil {
		return b, err
	}
	in, err := instance.Open(name)
	if err != nil {
		return b, err
	}
	if b.world, err = packetpath.New(packetpath.Options{Flows: flows, Instance: in}); err != nil {
		return b, err
	}
	if err := b.startControl(); err != nil {
		return b, fmt.Errorf("control plane: %w%s", err, &b.log)
	}
	for i := range b.tops {
		if err := b.tops[i].start(filepath.Join(b.bin, "linecrypt")); err != nil {
			return b, fmt.Errorf("linecrypt top: %w", err)
		}
	}
	if err := b.openPage(); err != nil {
		return b, fmt.Errorf("page: %w", err)
	}
	b.begun, b.controlUsed, b.topUsed = time.Now(), cpuTime(b.control.Process.Pid), b.topTime()
	return b, nil
}

// close ends the programs and removes what they left.
func (b *bed) close() error {
	if b == nil {
		return nil
	}
	for i := range b.tops {
		b.tops[i].kill()
	}
	var errs []error
	if b.control != nil {
		errs = append(errs, b.control.Process.Signal(unix.SIGTERM), b.control.Wait())
	}
	if b.world != nil {
		errs = append(errs, b.world.Close())
	}
	if b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	return errors.Join(errs...)
}

// startControl starts the control plane and waits until it serves.
func (b *bed) startControl() error {
	l, err := net.Listen("tcp", "127.0.0.1:0") // an address that is free
	if err != nil {
		return err
	}
	b.address = l.Addr().String()
	ready, report, err := os.Pipe()
	if err = errors.Join(err, l.Close()); err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command(filepath.Join(b.bin, "linecrypt-ctrlplane"), "--name", name, "--set", "metrics.listen="+b.address, "--ready-fd", "3")
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &b.log, &b.log, []*os.File{report}
	if err := errors.Join(cmd.Start(), report.Close()); err != nil {
		return err
	}
	b.control = cmd
	if err := ready.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	line, err := bufio.NewReader(ready).ReadString('\n')
	if err != nil || line != "ready\n" {
		return fmt.Errorf("it does not begin: %q: %w", line, err)
	}
	return nil
}

// start runs linecrypt top, and stops it as soon as it draws: to start a program costs more than to run it.
func (t *top) start(program string) error {
	screen, terminal, err := openTerminal(100, 40)
	if err != nil {
		return err
	}
	defer terminal.Close()
	cmd := exec.Command(program, "top", "--name", name)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, screen.Close())
	}
	t.cmd, t.screen = cmd, screen
	go func() {
		buf := make([]byte, 1<<16)
		for n, err := screen.Read(buf); err == nil; n, err = screen.Read(buf) {
			t.drawn.Add(int64(n))
		}
	}()
	for late := time.Now().Add(patience); time.Now().Before(late); time.Sleep(20 * time.Millisecond) {
		if t.drawn.Load() > 0 {
			time.Sleep(refresh / 2) // for the first screen
			return cmd.Process.Signal(unix.SIGSTOP)
		}
	}
	return errors.New("it draws nothing")
}

func (t *top) kill() {
	if t.cmd == nil {
		return
	}
	_ = t.cmd.Process.Kill()
	_ = t.cmd.Wait() // it was killed
	_ = t.screen.Close()
}

// wakeTop lets the linecrypt top go on that has slept the longest, until stopTop.
func (b *bed) wakeTop() {
	b.awake++
	_ = b.tops[b.awake%tops].cmd.Process.Signal(unix.SIGCONT) // one that has ended draws nothing, which is seen
}

func (b *bed) stopTop() { _ = b.tops[b.awake%tops].cmd.Process.Signal(unix.SIGSTOP) }

// drawn is what the one has drawn that was woken last.
func (b *bed) drawn() sight {
	n := b.tops[b.awake%tops].drawn.Load()
	return sight{n, n}
}

// get asks for something of the page.
func (b *bed) get(path string) (io.ReadCloser, error) {
	ask, err := http.NewRequestWithContext(b.ctx, http.MethodGet, "http://"+b.address+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(ask)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.Join(errors.New(answer.Status), answer.Body.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return answer.Body, nil
}

// openPage takes in the stream of events that a browser has as long as it shows the page.
func (b *bed) openPage() error {
	events, err := b.get("/api/events")
	if err != nil {
		return err
	}
	go func() {
		defer events.Close()
		for lines := bufio.NewReader(events); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return // the control plane has ended
			}
			if strings.HasPrefix(line, "data:") {
				b.point.Store(time.Now().UnixNano())
				b.points.Add(1)
			}
		}
	}()
	return nil
}

// askForList asks for the list of connections, as a page does every five seconds, and this one in each turn.
func (b *bed) askForList() {
	go func() {
		list, err := b.get("/api/connections?state=encrypted")
		if err != nil {
			return // which is seen
		}
		defer list.Close()
		if n, err := io.Copy(io.Discard, list); n > 0 && err == nil {
			b.lists.Add(1)
		}
	}()
}

// shown is what the page has got.
func (b *bed) shown() sight { return sight{b.points.Load(), b.lists.Load()} }

func (b *bed) topTime() (t time.Duration) {
	for i := range b.tops {
		t += cpuTime(b.tops[i].cmd.Process.Pid)
	}
	return t
}

// used is how much of a core the control plane has taken, and one linecrypt top would in the time of its refreshes.
func (b *bed) used() (control, top float64) {
	control = (cpuTime(b.control.Process.Pid) - b.controlUsed).Seconds() / time.Since(b.begun).Seconds()
	return control, (b.topTime() - b.topUsed).Seconds() / (float64(max(b.awake, 1)) * refresh.Seconds())
}

// cpuTime is how much of a core a process has used.
func cpuTime(pid int) time.Duration {
	const tick = time.Second / 100 // USER_HZ
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * tick
}
