package kernel

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/testenv"
	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/cli"
)

// library is the preloadable library and the programs that are tried under it, built once.
type library struct {
	once   sync.Once
	dir    string
	failed error
	lacks  string // a tool, where one is missing
}

var preload library

// preloaded returns the folder with the library and the programs.
func preloaded(t *testing.T) string {
	t.Helper()
	need(t)
	preload.once.Do(func() { preload.build(programs) })
	if preload.lacks != "" {
		testenv.Skip(t, preload.lacks+" is not installed")
	}
	if preload.failed != nil {
		t.Fatal(preload.failed)
	}
	return preload.dir
}

func (l *library) build(dir string) {
	l.dir = filepath.Join(dir, "preload")
	for _, tool := range []string{"cc", "python3"} {
		if _, err := exec.LookPath(tool); err != nil {
			l.lacks = tool
			return
		}
	}
	source := filepath.Join("testdata", "preload")
	for _, args := range [][]string{
		{"../scripts/preload", l.dir},
		{"cc", "-Wall", "-Wextra", "-Werror", "-I", l.dir, "-o", filepath.Join(l.dir, "probe"), filepath.Join(source, "probe.c")},
		{"go", "build", "-o", filepath.Join(l.dir, "goprobe"), filepath.Join(source, "probe.go")},
		{"cp", filepath.Join(source, "probe.py"), l.dir},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=1", "CGO_CFLAGS=-I"+l.dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			l.failed = fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
			return
		}
	}
}

// probe is a program under test that runs.
type probe struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string
}

// start runs a program of the folder in a namespace under the library.
func (b *bed) probe(ns topology.NetNS, change func(*exec.Cmd), program string, args ...string) *probe {
	b.t.Helper()
	dir := preloaded(b.t)
	argv := append([]string{filepath.Join(dir, program)}, args...)
	if strings.HasSuffix(program, ".py") {
		argv = append([]string{"python3"}, argv...)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	b.t.Cleanup(cancel)
	// The library is for the program, not for what enters the namespace.
	argv = append([]string{"env", "LD_PRELOAD=" + filepath.Join(dir, "liblinecrypt-session.so")}, argv...)
	cmd := ns.Command(ctx, argv[0], argv[1:]...)
	cmd.Env = b.top.Env()
	if change != nil {
		change(cmd)
	}
	stdin, err := cmd.StdinPipe()
	b.check(err)
	stdout, err := cmd.StdoutPipe()
	b.check(err)
	var errs strings.Builder
	cmd.Stderr = &errs
	b.check(cmd.Start())
	p := &probe{t: b.t, cmd: cmd, stdin: stdin, lines: make(chan string, 64)}
	go func() {
		for sc := bufio.NewScanner(stdout); sc.Scan(); {
			p.lines <- sc.Text()
		}
		close(p.lines)
	}()
	b.t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil && b.t.Failed() {
			b.t.Logf("%s: %v\n%s", program, err, errs.String())
		}
	})
	return p
}

// expect waits for a line.
func (p *probe) expect(want string) {
	p.t.Helper()
	select {
	case line := <-p.lines:
		if line != want {
			p.t.Fatalf("%q instead of %q", line, want)
		}
	case <-time.After(patience):
		p.t.Fatalf("no %q", want)
	}
}

// report reads what the program says of its socket.
func (p *probe) report() map[string]string {
	p.t.Helper()
	said := map[string]string{}
	late := time.After(patience)
	for {
		select {
		case line, ok := <-p.lines:
			if !ok || line == "end" {
				return said
			}
			name, value, _ := strings.Cut(line, "=")
			said[name] = value
		case <-late:
			p.t.Fatalf("the program says no more than %v", said)
		}
	}
}

// end has the program end, and waits until it has.
func (p *probe) end() {
	p.t.Helper()
	p.stdin.Close()
	late := time.After(patience)
	for {
		select {
		case _, ok := <-p.lines:
			if !ok {
				return
			}
		case <-late:
			p.t.Fatal("the program does not end")
		}
	}
}

// want compares some of what a program said.
func want(t *testing.T, what string, said, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if said[name] != value {
			t.Errorf("%s: %s is %q, not %q", what, name, said[name], value)
		}
	}
}

// only returns the one session of a gateway.
func (b *bed) only(g *topology.Gateway) cli.Session {
	b.t.Helper()
	list, err := g.Sessions()
	if err != nil || len(list) != 1 {
		b.t.Fatalf("%d sessions: %v", len(list), err)
	}
	return list[0]
}

func errno(e syscall.Errno) string { return fmt.Sprintf("!%d", int(e)) }

func host(f family) string {
	if f == ipv6 {
		return topology.Server6
	}
	return topology.Server4
}

func TestProgramsInCPythonAndGoReadTheSessionIDBySocketOptions(t *testing.T) {
	b := gateways(t, topology.Packet)
	for _, f := range families {
		for _, program := range []string{"probe", "probe.py", "goprobe"} {
			p := b.probe(b.top.Client, nil, program, "connect", host(f), fmt.Sprint(port))
			said := p.report()
			sa, sb := b.only(b.a), b.only(b.b)
			if sa.SessionID == "" || sa.SessionID != sb.SessionID {
				t.Fatalf("%s, %v: the gateways have %q and %q", program, f, sa.SessionID, sb.SessionID)
			}
			want(t, program+", "+string(f), said, map[string]string{"session_id": sa.SessionID, "role": "1"})
			if program == "probe" {
				want(t, program, said, map[string]string{
					"sessid": sa.SessionID, "self_aware": "0", "peer_aware": "0", "tep": fmt.Sprint(0x23), "aead": "1", "resumed": "0", "auth": "0",
					"small": fmt.Sprint(int(syscall.EINVAL)),
				})
				if !strings.HasPrefix(said["raw"], "45") || !strings.HasPrefix(said["transcript"], said["raw"]) || len(said["transcript"]) < len(said["raw"])+8 {
					t.Errorf("raw option %s, transcript %s", said["raw"], said["transcript"])
				}
			}
			p.stdin.Close()
			b.eventuallyNoSession()
		}
	}
}

// eventuallyNoSession waits until both gateways have none.
func (b *bed) eventuallyNoSession() {
	b.t.Helper()
	for _, s := range b.servers {
		s.closeAll()
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		la, errA := b.a.Sessions()
		lb, errB := b.b.Sessions()
		if len(la)+len(lb) == 0 && errA == nil && errB == nil {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("sessions stay: %v %v %v %v", la, lb, errA, errB)
		}
	}
}

func TestApplicationAwareBitIsSentForProgramsThatSetItAndForNoOthers(t *testing.T) {
	b := gateways(t, topology.Packet)
	const other = "7100"
	for _, c := range []struct{ client, server bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		for _, f := range families {
			args := func(mode string, aware bool) []string {
				list := []string{mode, host(f), other}
				if aware {
					list = append(list, "aware")
				}
				return list
			}
			srv := b.probe(b.top.Server, nil, "probe", args("serve", c.server)...)
			srv.expect("listening")
			client := b.probe(b.top.Client, nil, "probe", args("connect", c.client)...)
			name := fmt.Sprintf("%v, client %t, server %t", f, c.client, c.server)
			bits := map[bool]string{false: "0", true: "1"}
			atClient, atServer := client.report(), srv.report()
			want(t, name+", at the client", atClient, map[string]string{"self_aware": bits[c.client], "peer_aware": bits[c.server], "role": "1"})
			want(t, name+", at the server", atServer, map[string]string{"self_aware": bits[c.server], "peer_aware": bits[c.client], "role": "2"})
			if atClient["session_id"] != atServer["session_id"] || atClient["transcript"] != atServer["transcript"] || len(atClient["session_id"]) != 66 {
				t.Errorf("%s: %v\n%v", name, atClient, atServer)
			}
			if s := b.only(b.a); s.OwnAware != c.client || s.PeerAware != c.server {
				t.Errorf("%s: the client's gateway lists %+v", name, s)
			}
			client.stdin.Close()
			srv.stdin.Close()
			b.eventuallyNoSession()
		}
	}
}

func TestBitOfAPythonProgramIsSent(t *testing.T) {
	b := gateways(t, topology.Packet)
	p := b.probe(b.top.Client, nil, "probe.py", "connect", topology.Server4, fmt.Sprint(port), "aware")
	want(t, "with a timeout, and so a connect() that does not block", p.report(), map[string]string{"self_aware": "1", "peer_aware": "0", "role": "1"})
}

func TestBitOfAListenerStaysWhereAChildWithTheMemoryOfItsProgramClosesIt(t *testing.T) {
	b := gateways(t, topology.Packet)
	const other = "7101"
	srv := b.probe(b.top.Server, nil, "probe", "serve", topology.Server4, other, "child")
	srv.expect("listening")
	client := b.probe(b.top.Client, nil, "probe", "connect", topology.Server4, other)
	want(t, "at the client", client.report(), map[string]string{"self_aware": "0", "peer_aware": "1"})
	want(t, "at the server", srv.report(), map[string]string{"self_aware": "1", "peer_aware": "0"})
}

// The library and the control plane have 256 places for sockets of one user whose SYN is to carry the bit.
func TestConnectionsThatAreThereTakeNoPlaceFromThoseThatAreToCarryTheBit(t *testing.T) {
	b := gateways(t, topology.Packet)
	many := func(count string, ask ...string) *probe {
		return b.probe(b.top.Client, nil, "probe", append([]string{"many", topology.Server4, fmt.Sprint(port), count}, ask...)...)
	}
	want(t, "a program that asks what became of connect()", many("256", "ask").report(), map[string]string{"aware": "256"})
	want(t, "one that does not, beside it", many("260").report(), map[string]string{"aware": "260"})
}

func TestSocketOptionsHaveAnErrorForEachThingThatCanBeTheMatter(t *testing.T) {
	b := newBed(t)
	b.startA(topology.Packet)
	b.check(b.top.Plain(topology.SideB))
	plain := b.probe(b.top.Client, nil, "probe", "connect", topology.Server4, fmt.Sprint(port))
	want(t, "in the clear", plain.report(), map[string]string{
		"session_id": errno(syscall.EOPNOTSUPP), "tep": errno(syscall.EOPNOTSUPP), "peer_aware": errno(syscall.EOPNOTSUPP), "role": "0",
	})
	num := func(e syscall.Errno) string { return fmt.Sprint(int(e)) }
	misuse := b.probe(b.top.Client, nil, "probe", "misuse")
	want(t, "misuse", misuse.report(), map[string]string{
		"fresh": num(syscall.ENOTCONN), "udp": num(syscall.ENOPROTOOPT), "closed": num(syscall.EBADF), "pipe": num(syscall.ENOTSOCK),
		"value": num(syscall.EINVAL), "size": num(syscall.EINVAL), "null": num(syscall.EFAULT), "readonly": num(syscall.ENOPROTOOPT),
		"kernels": "0", "loopback": num(syscall.ENOENT), "late": num(syscall.EISCONN),
	})
	asNobody := func(cmd *exec.Cmd) {
		for i, arg := range cmd.Args {
			if arg == "env" {
				cmd.Args = append(append(append([]string(nil), cmd.Args[:i]...), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"), cmd.Args[i:]...)
				break
			}
		}
	}
	b.check(chmodUp(b.top.RunDir()))
	b.check(chmodUp(preloaded(t)))
	nobody := b.probe(b.top.Client, asNobody, "probe", "connect", topology.Server4, fmt.Sprint(port))
	want(t, "another user", nobody.report(), map[string]string{"session_id": errno(syscall.EACCES)})
	aware := b.probe(b.top.Client, asNobody, "probe", "connect", topology.Server4, fmt.Sprint(port), "aware")
	want(t, "another user's bit", aware.report(), map[string]string{"aware": errno(syscall.EACCES)})
	b.check(syscall.Kill(b.a.ControlPlane(), syscall.SIGSTOP))
	stopped := b.probe(b.top.Client, nil, "probe", "connect", topology.Server4, fmt.Sprint(port))
	want(t, "a control plane that does not answer", stopped.report(), map[string]string{"session_id": errno(syscall.EAGAIN)})
	b.check(syscall.Kill(b.a.ControlPlane(), syscall.SIGCONT))
	without := b.probe(b.top.Client, func(cmd *exec.Cmd) {
		for i, arg := range cmd.Args {
			if strings.HasPrefix(arg, "LD_PRELOAD=") {
				cmd.Args[i] = "WITHOUT=1"
			}
		}
	}, "probe", "connect", topology.Server4, fmt.Sprint(port))
	want(t, "without the library", without.report(), map[string]string{"session_id": errno(syscall.ENOPROTOOPT)})
}
