package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/harden"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/metrics"
	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
)

// Exit statuses of Execute.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

const programName = "linecrypt-ctrlplane"

// Execute is the program linecrypt-ctrlplane: it serves the instance that its flags and its configuration name until SIGTERM
// or SIGINT, and loads the policy again at SIGHUP. args are the flags, stderr takes the log. It returns the exit status:
// 0 after a signal, 1 for a failure, 2 for a command line that makes no sense.
func Execute(args []string, stderr io.Writer) int {
	fs := flag.NewFlagSet(programName, flag.ContinueOnError)
	fs.SetOutput(stderr)
	p := &process{settings: settings{flags: config.AddFlags(fs)}}
	fs.IntVar(&p.readyFD, "ready-fd", -1, "write a line to file descriptor `N` once the data plane is served")
	fs.DurationVar(&p.wait, "wait", DefaultWait, "how long to wait for the data plane at first")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case fs.NArg() > 0:
		fmt.Fprintf(stderr, "%s: %q is not a flag\n", programName, fs.Arg(0))
		return exitUsage
	}
	if err := p.run(stderr); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", programName, err)
		_ = p.report("failed: " + strings.ReplaceAll(err.Error(), "\n", "; "))
		return exitFailure
	}
	return exitOK
}

// process is one run of the program.
type process struct {
	settings settings
	readyFD  int
	wait     time.Duration

	srv   *Server
	log   *slog.Logger
	level slog.LevelVar
	hup   chan os.Signal
	in    *instance.Instance
	group int

	keyLogPath string // in use; empty for none
}

func (p *process) run(stderr io.Writer) error {
	p.hup = make(chan os.Signal, 1) // from here on SIGHUP does not end the process
	signal.Notify(p.hup, syscall.SIGHUP)
	defer signal.Stop(p.hup)
	c, unread := p.settings.flags.Load()
	if unread != nil {
		var err error
		if c, err = p.settings.withoutFile(); err != nil {
			return unread
		}
	}
	p.settings.started, p.settings.current = c, c
	p.level.Set(c.Log.Level)
	p.log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: &p.level})).With("process", "ctrlplane")
	if unread != nil {
		p.log.Error("the configuration cannot be loaded; the policy of the control plane before this one stays, and no address serves metrics", "error", unread)
	}
	if err := harden.Process(); errors.Is(err, harden.ErrNotLocked) {
		p.log.Debug("memory is not locked", "error", err)
	} else if err != nil {
		return err
	}
	var err error
	if p.in, err = instance.Open(c.Name); err != nil {
		return err
	}
	lock, err := p.in.Lock(instance.ControlPlane)
	if err != nil {
		return err
	}
	defer func() {
		_ = lock.Release()
		if err := p.in.Tidy(); err != nil {
			p.log.Warn("remove what the instance left", "error", err)
		}
	}()
	p.group = -1
	if c.SessionTable.Group != "" {
		if p.group, err = p.in.ShareWith(c.SessionTable.Group); err != nil {
			return c.Err("session_table.group", err)
		}
	}
	return p.serve(c)
}

// serve runs the server beside its sockets until a signal ends it.
func (p *process) serve(c *config.Config) error {
	node, err := NewPeering(c, p.log)
	if err != nil {
		return err
	}
	srv, err := New(Options{
		Peering: node,
		Open:    p.openSegment, OpenSessions: p.openSessions, Terms: responder.TermsOf(c), Lifetime: c.Resumption.Lifetime,
		Log: p.log, Wait: p.wait, Ready: p.ready, Inherit: p.inherit,
		Reload: func() config.Reloaded { return p.reload(p.srv) },
	})
	if err != nil {
		return err
	}
	p.srv = srv
	keys, err := p.openKeyLog(c)
	if err != nil {
		return err
	}
	if err := p.logKeysTo(keys); err != nil {
		return err
	}
	defer p.stopKeyLog()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	sockets, err := p.listen(c)
	if err != nil {
		return err
	}
	for _, l := range sockets {
		h := srv.MetricsHandler()
		if c.Metrics.Page {
			h = srv.PageHandler()
		}
		if l.Addr().Network() == "unix" {
			h = srv.ControlHandler()
		}
		go serveHTTP(ctx, l, h, p.log)
	}
	apps, err := p.listenApplications()
	if err != nil {
		return err
	}
	go srv.ServeApplications(ctx, apps)
	if err := p.listenRemote(ctx, c, srv); err != nil {
		return err
	}
	go p.reloads(ctx, srv)
	err = srv.Run(ctx)
	for _, l := range sockets {
		l.Close()
	}
	if err == nil {
		p.log.Info("stopped")
	}
	return err
}

func (p *process) openSegment() (*shm.Segment, error) {
	dir, err := p.in.SegmentDir()
	if err != nil {
		return nil, err
	}
	return shm.OpenControl(dir, p.in.Name())
}

func (p *process) openSessions(seg *shm.Segment) (*sessiontable.Table, error) {
	capacity := 0
	for i := range seg.Workers() {
		capacity += int(seg.Worker(i).Layout.Capacity)
	}
	return sessiontable.OpenWriter(p.in.SessionTablePath(), sessiontable.Options{Capacity: capacity, Instance: seg.Nonce(), Group: p.group})
}

// listen opens the control socket, and the address for metrics. Where that one is the default and cannot be had, because
// another instance has it or there is no such address, the gateway goes on without.
func (p *process) listen(c *config.Config) ([]net.Listener, error) {
	path := p.in.ControlSocket()
	_ = os.Remove(path) // what a crash left there: we hold the lock
	control, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		control.Close()
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if c.Metrics.Listen == "" {
		return []net.Listener{control}, nil
	}
	l, err := metrics.Listen(c.Metrics.Listen)
	if err == nil {
		p.log.Info("serving metrics", "address", l.Addr().String())
		return []net.Listener{control, l}, nil
	}
	if c.IsSet("metrics.listen") {
		control.Close()
		return nil, c.Err("metrics.listen", err)
	}
	p.log.Warn("going on without an address for metrics; metrics.listen chooses another", "error", err)
	return []net.Listener{control}, nil
}

// listenApplications opens the socket on which applications ask: for the group that may read the session table, if there is one.
func (p *process) listenApplications() (*net.UnixListener, error) {
	path := p.in.Applications()
	_ = os.Remove(path) // what a crash left there: we hold the lock
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("applications socket: %w", err)
	}
	mode := os.FileMode(0o600)
	if p.group >= 0 {
		mode = 0o660
		err = os.Chown(path, -1, p.group)
	}
	if err = errors.Join(err, os.Chmod(path, mode)); err != nil {
		l.Close()
		return nil, fmt.Errorf("applications socket: %w", err)
	}
	return l, nil
}

// listenRemote opens the address at which hosts behind the gateway ask, if there is one.
func (p *process) listenRemote(ctx context.Context, c *config.Config, srv *Server) error {
	if c.Sessions.Listen == "" {
		return nil
	}
	t, err := newRemoteTLS(RemoteFiles{c.Sessions.Certificate, c.Sessions.Key, c.Sessions.ClientCA}, p.log)
	if err != nil {
		return c.Err("sessions.listen", err)
	}
	l, err := net.Listen("tcp", c.Sessions.Listen)
	if err != nil {
		return c.Err("sessions.listen", err)
	}
	p.log.Info("answering hosts about their sessions", "address", l.Addr().String())
	go srv.serveRemote(ctx, l, t)
	return nil
}

// ready reports to the process that started this one.
func (p *process) ready() {
	if err := p.report("ready"); err != nil {
		p.log.Warn("report to --ready-fd", "error", err)
	}
}

// report tells the process that started this one a line, once: the descriptor is closed then.
func (p *process) report(line string) error {
	if p.readyFD < 0 {
		return nil
	}
	f := os.NewFile(uintptr(p.readyFD), "ready-fd")
	p.readyFD = -1
	if f == nil {
		return nil
	}
	_, err := f.WriteString(line + "\n")
	return errors.Join(err, f.Close())
}
