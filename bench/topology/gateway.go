package topology

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"linecrypt/ctrlplane/cli"
	"linecrypt/ctrlplane/peering"
	"linecrypt/ctrlplane/server"
)

// Side is a gateway's place.
type Side byte

// The two places: A is the client's.
const (
	SideA Side = 'a'
	SideB Side = 'b'
)

func (s Side) String() string { return string(s) }

// PortKind is how a gateway's ports are opened.
type PortKind string

// The kinds of port that work on a device of the kernel's.
const (
	AFXDP    PortKind = "net_af_xdp"    // DPDK over AF_XDP sockets
	AFPacket PortKind = "net_af_packet" // DPDK over AF_PACKET sockets
	Packet   PortKind = "packet"        // the gateway's own AF_PACKET port, without DPDK
	XDP      PortKind = "xdp"           // the gateway's own AF_XDP port, without DPDK
)

// DPDK says whether the port is one of DPDK's.
func (k PortKind) DPDK() bool { return k == AFXDP || k == AFPacket }

// Spec is the port's name as `linecrypt run` takes it; n tells the ports of a process apart.
func (k PortKind) Spec(n int, dev string) string {
	switch k {
	case Packet:
		return dev
	case XDP:
		return "xdp:" + dev
	}
	spec := fmt.Sprintf("%s%d,iface=%s", k, n, dev)
	if k == AFPacket {
		// Its default ring of 512 frames overflows whenever the worker has to wait for its core.
		spec += ",framecnt=4096"
	}
	return spec
}

// Patience bounds how long a gateway may take until it is ready, and to end.
const Patience = 30 * time.Second

// Gateway is a `linecrypt run` or `linecrypt host` in its namespace.
type Gateway struct {
	Side Side
	Name string // of the instance

	top    *Topology
	cmd    *exec.Cmd
	stderr *tail
	done   chan error // delivers the end once
	ended  bool
	err    error
}

// Start starts a gateway with adaptive polling, for the machine's cores are shared, and waits until it is ready. Set are
// settings in the form KEY=VALUE.
func (t *Topology) Start(side Side, kind PortKind, set ...string) (*Gateway, error) {
	return t.StartFile(side, kind, "", set...)
}

// StartFile is Start with a configuration in a file, which the gateway reads again when it is told to.
func (t *Topology) StartFile(side Side, kind PortKind, file string, set ...string) (*Gateway, error) {
	return t.start(place{side, t.Place(side), Inside, Outside}, kind, file, set)
}

// StartMiddle puts somebody in the middle, in place of the wire: two gateways back to back, of which one ends the connections that
// gateway A encrypts, and the other encrypts them again towards gateway B.
func (t *Topology) StartMiddle(set ...string) (toA, toB *Gateway, err error) {
	const midA, midB = "mid-a", "mid-b"
	if _, err = t.Wire.Run("ip", "link", "del", "bridge0"); err != nil {
		return nil, nil, err
	}
	if err = (veth{t.Wire, midA, t.Wire, midB}).add(t.opts); err != nil {
		return nil, nil, err
	}
	if toA, err = t.start(place{'x', t.Wire, midA, WireA}, Packet, "", set); err != nil {
		return nil, nil, err
	}
	toB, err = t.start(place{'y', t.Wire, midB, WireB}, Packet, "", set)
	return toA, toB, err
}

// place is where a gateway stands.
type place struct {
	side            Side
	ns              NetNS
	inside, outside string // devices
}

func (t *Topology) start(at place, kind PortKind, file string, set []string) (*Gateway, error) {
	args := []string{"run", "--inside", kind.Spec(0, at.inside), "--outside", kind.Spec(1, at.outside)}
	if file != "" {
		args = append(args, "--config", file)
	}
	return t.launch(at.side, at.ns, args, set)
}

// HostRun says how a machine is protected by `linecrypt host`.
type HostRun struct {
	Side       Side     // the client's machine (side A) or the server's
	Interfaces []string // Host where there is none
	// Container has the machine be a container, protected from the gateway's place, which is to be plain: Inside is its veth there.
	Container bool
	Command   []string // before the command, which runs it as another user
}

// StartHost has a machine protect itself, and waits until it does. The gateways' places are to be plain, where there are any.
func (t *Topology) StartHost(side Side, set ...string) (*Gateway, error) {
	return t.RunHost(HostRun{Side: side}, set...)
}

// RunHost is StartHost in another way.
func (t *Topology) RunHost(r HostRun, set ...string) (*Gateway, error) {
	ns := map[Side]NetNS{SideA: t.Client, SideB: t.Server}[r.Side]
	args := []string{"host"}
	if r.Container {
		ns, r.Interfaces, args = t.Place(r.Side), []string{Inside}, append(args, "--container")
	}
	if r.Interfaces == nil {
		r.Interfaces = []string{Host}
	}
	for _, name := range r.Interfaces {
		args = append(args, "--interface", name)
	}
	return t.launch(r.Side, ns, args, set, r.Command...)
}

// launch runs the command in a namespace with a name and settings, and waits until it is ready. Before is what runs it.
func (t *Topology) launch(side Side, ns NetNS, args, set []string, before ...string) (*Gateway, error) {
	g := &Gateway{Side: side, Name: t.ID + "-" + side.String(), top: t, done: make(chan error, 1),
		stderr: &tail{out: t.opts.Log, prefix: "gateway " + side.String() + ": "}}
	args = append(args, "--name", g.Name, "--set", "workers.poll=adaptive")
	for _, s := range set {
		args = append(args, "--set", s)
	}
	command := append(append(before, filepath.Join(t.opts.Bin, "linecrypt")), args...)
	g.cmd = ns.Command(context.Background(), command[0], command[1:]...)
	g.cmd.Env = t.Env()
	g.cmd.Stderr = g.stderr
	stdout, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("gateway %s: %w", side, err)
	}
	if err := g.cmd.Start(); err != nil {
		return nil, fmt.Errorf("gateway %s: %w", side, err)
	}
	t.gateways = append(t.gateways, g)
	if err := g.awaitReady(stdout); err != nil {
		g.Kill()
		return nil, fmt.Errorf("gateway %s: %w\n%s", side, err, g.stderr)
	}
	return g, nil
}

// Bin is the folder of the programs.
func (t *Topology) Bin() string { return t.opts.Bin }

// Env is the environment in which programs find this topology's gateways.
func (t *Topology) Env() []string { return append(os.Environ(), "LINECRYPT_RUN_DIR="+t.RunDir()) }

// RunDir is the value of LINECRYPT_RUN_DIR.
func (t *Topology) RunDir() string { return filepath.Join(t.Dir, "run") }

func (g *Gateway) awaitReady(stdout io.Reader) error {
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if lines.Text() == "ready" {
				ready <- true
			}
		}
		close(ready)
		g.done <- g.cmd.Wait()
	}()
	select {
	case ok := <-ready:
		if ok {
			return nil
		}
		return fmt.Errorf("ended before it was ready: %w", orNil(g.wait()))
	case <-time.After(Patience):
		return fmt.Errorf("not ready after %v", Patience)
	}
}

func orNil(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func (g *Gateway) wait() error {
	if !g.ended {
		g.err, g.ended = <-g.done, true
	}
	return g.err
}

// Stop ends the gateway as a user would. The error is about an end that was not clean, or came before. Only the first call
// does something.
func (g *Gateway) Stop() error {
	if g.ended {
		return nil
	}
	select {
	case err := <-g.done:
		g.ended = true
		return fmt.Errorf("gateway %s ended by itself: %w\n%s", g.Side, orNil(err), g.stderr)
	default:
	}
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(Patience, g.Kill)
	defer timer.Stop()
	g.err, g.ended = <-g.done, true
	if g.err != nil {
		return fmt.Errorf("gateway %s: stop: %w\n%s", g.Side, g.err, g.stderr)
	}
	return nil
}

// Kill ends the gateway the hard way.
func (g *Gateway) Kill() { _ = syscall.Kill(-g.cmd.Process.Pid, syscall.SIGKILL) }

// KillDataPlane kills the data plane alone, as a crash would, and waits for the end of the gateway that follows from it. Another one
// may be started in its place.
func (g *Gateway) KillDataPlane() error { return g.dataPlaneGone(syscall.SIGKILL) }

// HangDataPlane has the data plane hang, and waits likewise.
func (g *Gateway) HangDataPlane() error { return g.dataPlaneGone(syscall.SIGSTOP) }

func (g *Gateway) dataPlaneGone(signal syscall.Signal) error {
	pid := g.child("linecrypt-dataplane")
	if pid == 0 {
		return fmt.Errorf("gateway %s has no data plane", g.Side)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		return fmt.Errorf("gateway %s: %v for the data plane: %w", g.Side, signal, err)
	}
	var late atomic.Bool
	timer := time.AfterFunc(Patience, func() {
		late.Store(true)
		g.Kill()
	})
	defer timer.Stop()
	switch err := g.wait(); {
	case late.Load():
		return fmt.Errorf("gateway %s: without a data plane it went on for %v", g.Side, Patience)
	case err == nil:
		return fmt.Errorf("gateway %s: without a data plane it ended as if all were well", g.Side)
	}
	return nil
}

// Stderr returns the last that the gateway wrote to standard error.
func (g *Gateway) Stderr() string { return g.stderr.String() }

// Sessions returns what `linecrypt sessions --json` prints.
func (g *Gateway) Sessions() ([]cli.Session, error) {
	var list []cli.Session
	return list, g.look(&list, "sessions")
}

// Plain returns what `linecrypt sessions --plain --json` prints.
func (g *Gateway) Plain() ([]cli.Session, error) {
	var list []cli.Session
	return list, g.look(&list, "sessions", "--plain")
}

// Refused returns what `linecrypt sessions --refused --json` prints.
func (g *Gateway) Refused() ([]cli.Session, error) {
	var list []cli.Session
	return list, g.look(&list, "sessions", "--refused")
}

// Status returns what `linecrypt status --json` prints.
func (g *Gateway) Status() (cli.Status, error) {
	var st cli.Status
	return st, g.look(&st, "status")
}

// Rekey has the connection between two ends, address:port, change keys, and returns what `linecrypt rekey --json` prints.
func (g *Gateway) Rekey(one, other string) (r server.Rekeying, err error) {
	return r, g.look(&r, "rekey", one, other)
}

// Rules returns what `linecrypt policy list --json` prints.
func (g *Gateway) Rules() (rules []cli.RuleInfo, err error) {
	return rules, g.look(&rules, "policy", "list")
}

// Peers returns what `linecrypt peers --json` prints.
func (g *Gateway) Peers() (peers []peering.Status, err error) { return peers, g.look(&peers, "peers") }

// Metrics returns what the control plane serves on its control socket.
func (g *Gateway) Metrics() (string, error) {
	socket := filepath.Join(g.top.RunDir(), g.Name, "control.sock")
	client := http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}}}
	answer, err := client.Get("http://control/metrics")
	if err != nil {
		return "", fmt.Errorf("gateway %s: metrics: %w", g.Side, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

func (g *Gateway) look(into any, command ...string) error {
	out, err := g.Command(append(command, "--json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("gateway %s: %s: %w", g.Side, command[0], err)
	}
	return nil
}

// Command runs `linecrypt COMMAND... --name` of this gateway and returns what it prints; the error has what it says to standard error.
func (g *Gateway) Command(command ...string) (string, error) {
	cmd := exec.Command(filepath.Join(g.top.opts.Bin, "linecrypt"), append(command, "--name", g.Name)...)
	cmd.Env = g.top.Env()
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("gateway %s: %s: %w: %s", g.Side, command[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out.String(), nil
}

// Hangup sends SIGHUP to `linecrypt run`, as a service manager does to have the configuration loaded again.
func (g *Gateway) Hangup() error { return g.cmd.Process.Signal(syscall.SIGHUP) }

// ControlPlane returns the process number of the control plane, 0 while there is none.
func (g *Gateway) ControlPlane() int { return g.child("linecrypt-ctrlplane") }

// DataPlane returns the process number of the data plane, 0 while there is none.
func (g *Gateway) DataPlane() int { return g.child("linecrypt-dataplane") }

// Supervisor returns the process number of the command itself.
func (g *Gateway) Supervisor() int { return g.cmd.Process.Pid }

// Ended waits for the end that somebody else has brought about.
func (g *Gateway) Ended() { _ = g.wait() }

func (g *Gateway) child(program string) int {
	for _, pid := range children(g.cmd.Process.Pid) {
		if path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && filepath.Base(path) == program {
			return pid
		}
	}
	return 0
}

// tail keeps the end of what is written to it, and passes it on line by line where there is somebody to take it.
type tail struct {
	out    io.Writer
	prefix string

	mu   sync.Mutex
	kept []byte
}

const tailLen = 16 << 10

// Write implements io.Writer; it never fails.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if over := len(t.kept) - tailLen; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	if t.out != nil {
		for line := range bytes.Lines(b) {
			fmt.Fprintf(t.out, "%s%s\n", t.prefix, bytes.TrimRight(line, "\n"))
		}
	}
	return len(b), nil
}

// String returns what was kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

// KillAll kills the command and every process that it started, all in one moment, as far as there is one, and waits for the end.
func (g *Gateway) KillAll() {
	all := append([]int{g.cmd.Process.Pid}, children(g.cmd.Process.Pid)...)
	for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		for _, pid := range all {
			_ = syscall.Kill(pid, signal)
		}
	}
	g.Ended()
}
