package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/server"
)

// watch prints connections as they come and go, a line of JSON each, until it is interrupted, its output is closed or the instance ends. While
// the control plane is away it waits for the next one, and says then what has changed.
func (a *App) watch(name string) error {
	ctx, end := a.untilClosed()
	defer end()
	return watchInstance(ctx, name, a.Stdout)
}

// untilClosed returns a context that ends at SIGINT or SIGTERM, or when nobody can read the output any more. A broken pipe is an error of the
// write then, until end is called.
func (a *App) untilClosed() (ctx context.Context, end func()) {
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	ctx, closed := context.WithCancel(ctx)
	if f, ok := a.Stdout.(*os.File); ok {
		go func() { awaitHangup(int(f.Fd())); closed() }()
	}
	return ctx, func() {
		closed()
		stop()
		signal.Reset(syscall.SIGPIPE)
	}
}

// awaitHangup waits until nobody can read what is written to a pipe any more.
func awaitHangup(fd int) {
	for {
		list := []unix.PollFd{{Fd: int32(fd)}}
		if n, err := unix.Poll(list, -1); err != nil && !errors.Is(err, unix.EINTR) || n > 0 {
			return
		}
	}
}

// watchRetry is how long a watcher waits for a control plane before it looks again.
const watchRetry = 200 * time.Millisecond

func watchInstance(ctx context.Context, name string, out io.Writer) error {
	w := watching{out: out, known: map[string]server.SessionEvent{}}
	in, err := instance.Find(name)
	if err != nil {
		return err
	}
	for {
		err := w.follow(ctx, in.ControlSocket())
		if ctx.Err() != nil || errors.Is(err, unix.EPIPE) {
			return nil
		}
		if errors.Is(err, errRefused) || errors.Is(err, errOutput) {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchRetry):
		}
		if in, err = instance.Find(name); err != nil {
			return w.end() // the gateway has ended, and its connections with it
		}
	}
}

// sameMoment is how far apart two readings of one time in two clocks are at most.
const sameMoment = 100 * time.Millisecond

var (
	errRefused = errors.New("the control plane refuses")
	errOutput  = errors.New("cannot write")
	errBehind  = errors.New("changes were missed")
)

// watching is what was printed.
type watching struct {
	out    io.Writer
	known  map[string]server.SessionEvent // open connections, by whatever tells them apart
	listed map[string]bool                // of known, those that the control plane has listed; nil behind the list
	behind bool                           // changes were missed, so that known may be wrong
}

// follow prints what a control plane tells until the connection ends, or until it has told that changes were missed.
func (w *watching) follow(ctx context.Context, socket string) error {
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://control/sessions/watch", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(q)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return fmt.Errorf("%w: %s: %s", errRefused, answer.Status, text)
	}
	w.listed, w.behind = map[string]bool{}, false
	for lines := json.NewDecoder(bufio.NewReader(answer.Body)); ; {
		var e server.SessionEvent
		if err := lines.Decode(&e); err != nil {
			return err
		}
		if err := w.take(e); err != nil {
			return err
		}
		if w.behind && w.listed == nil {
			return errBehind // another list puts known right
		}
	}
}

// take prints an event unless it tells nothing new: what changes while a control plane makes its list comes twice.
func (w *watching) take(e server.SessionEvent) error {
	switch {
	case e.Event == "listed":
		return w.forgetUnlisted(e.Time)
	case e.Session == nil:
		w.behind = true
		return w.print(e)
	}
	id := e.SessionID + " " + e.Client + " " + e.Server + " " + e.Role + " " + strconv.FormatUint(uint64(e.VLAN), 10)
	if w.listed != nil {
		w.listed[id] = true
	}
	old, there := w.known[id]
	switch e.Event {
	case "refused":
		return w.print(e)
	case "close":
		if !there {
			return nil
		}
		delete(w.known, id)
		return w.print(e)
	case "open", "change":
		if there && (*old.Session == *e.Session || e.State == connections.Plain && e.Since.Sub(old.Since).Abs() < sameMoment) {
			return nil
		}
		w.known[id] = e
		e.Event = "open"
		if there {
			e.Event = "change"
		}
	}
	return w.print(e)
}

// forgetUnlisted prints the end of sessions that were open before and are not in the list.
func (w *watching) forgetUnlisted(at time.Time) error {
	for id, e := range w.known {
		if w.listed[id] {
			continue
		}
		delete(w.known, id)
		e.Event, e.Time = "close", at
		if err := w.print(e); err != nil {
			return err
		}
	}
	w.listed = nil
	return nil
}

// end prints the end of all sessions.
func (w *watching) end() error {
	w.listed = nil
	err := w.forgetUnlisted(time.Now())
	if errors.Is(err, unix.EPIPE) {
		return nil
	}
	return err
}

func (w *watching) print(e server.SessionEvent) error {
	b, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	if _, err := w.out.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}
