package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/peering/identity"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// childVariable makes the test binary be the program.
const childVariable = "LINECRYPT_TEST_CTRLPLANE"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(Execute(os.Args[1:], os.Stderr))
	}
	if path := os.Getenv(claimantVariable); path != "" {
		os.Exit(claim(path))
	}
	os.Exit(m.Run())
}

// program is linecrypt-ctrlplane as a process.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	ready  *bufio.Reader
	stderr output
	ended  chan error
}

// output is what a program has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// awaitSaid waits until the program has written a text.
func (p *program) awaitSaid(text string) {
	p.t.Helper()
	eventually(p.t, text+" is said", func() bool { return strings.Contains(p.stderr.String(), text) })
}

// start starts the program with a run directory of its own, named by dir.
func start(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, ready: bufio.NewReader(r), ended: make(chan error, 1)}
	p.cmd = exec.Command(exe, append(args, "--name", "gw", "--ready-fd", "3", "--wait", "5s")...)
	p.cmd.Env = append(os.Environ(), childVariable+"=1", instance.EnvRunDir+"="+dir)
	p.cmd.ExtraFiles = []*os.File{w}
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		r.Close()
	})
	return p
}

func (p *program) awaitReady() {
	p.t.Helper()
	if line, err := p.ready.ReadString('\n'); err != nil || line != "ready\n" {
		p.t.Fatalf("%q, %v; %s", line, err, p.wait())
	}
}

// wait returns what the program wrote once it has ended.
func (p *program) wait() string {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatal("does not end")
	}
	return p.stderr.String()
}

func (p *program) end(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
	out := p.wait()
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("%v: exit status %d: %s", s, code, out)
	}
}

// newInstance makes the folder of instance gw and a data plane in it.
func newInstance(t *testing.T) (string, *instance.Instance, *plane) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv(instance.EnvRunDir, dir)
	in, err := instance.Open("gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Remove() })
	segDir, err := in.SegmentDir()
	if err != nil {
		t.Fatal(err)
	}
	return dir, in, newPlane(t, segDir, 1)
}

// controlClient speaks to the control socket.
func controlClient(in *instance.Instance) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", in.ControlSocket())
	}}}
}

func TestProcessServesReloadsAndEndsCleanly(t *testing.T) {
	dir, in, data := newInstance(t)
	file := filepath.Join(dir, "gw.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("policy: opportunistic\n")
	p := start(t, dir, "--config", file, "--set", "metrics.listen=off", "--inside", "in0", "--outside", "out0")
	p.awaitReady()
	data.mustBegin(0)

	st, err := os.Stat(in.ControlSocket())
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("control socket: %v, %v", st, err)
	}
	status := func() (s Status) {
		r, err := controlClient(in).Get("http://gateway/status")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := status(); s.PID != p.cmd.Process.Pid || s.Policy != "opportunistic" {
		t.Errorf("status %+v", s)
	}

	second := start(t, dir)
	if out := second.wait(); second.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out, "already running") {
		t.Errorf("a second one: status %d, %s", second.cmd.ProcessState.ExitCode(), out)
	}

	write("policy: require\n")
	_ = p.cmd.Process.Signal(syscall.SIGHUP)
	eventually(t, "the new policy", func() bool { return data.seg.Policy() == flowtable.Require })
	write("policy: nonsense\n")
	_ = p.cmd.Process.Signal(syscall.SIGHUP)
	p.awaitSaid("gw.yaml:1") // the log names what is wrong with the file
	if got := data.seg.Policy(); got != flowtable.Require {
		t.Errorf("policy %v after a bad file", got)
	}
	data.mustBegin(0)

	p.end(syscall.SIGTERM)
	if _, err := os.Stat(in.ControlSocket()); !os.IsNotExist(err) {
		t.Errorf("the control socket is left: %v", err)
	}
}

func TestKilledProcessIsReplacedByAnother(t *testing.T) {
	dir, _, data := newInstance(t)
	p := start(t, dir, "--set", "metrics.listen=off")
	p.awaitReady()
	data.mustBegin(0)
	_ = p.cmd.Process.Kill()
	p.wait()
	p = start(t, dir, "--set", "metrics.listen=off")
	p.awaitReady()
	data.mustBegin(0)
	p.end(syscall.SIGINT)
}

func TestAddressForMetricsThatIsTakenIsFatalOnlyWhereItWasAskedFor(t *testing.T) {
	dir, _, data := newInstance(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := start(t, dir, "--set", "metrics.listen="+l.Addr().String())
	if out := p.wait(); p.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out, "metrics.listen") {
		t.Errorf("status %d: %s", p.cmd.ProcessState.ExitCode(), out)
	}
	// The default address may be free or not on this machine: take it, whoever has it.
	if l, err := net.Listen("tcp", "127.0.0.1:9469"); err == nil {
		defer l.Close()
	}
	p = start(t, dir)
	p.awaitReady()
	data.mustBegin(0)
	p.end(syscall.SIGTERM)
	if !strings.Contains(p.stderr.String(), "without an address for metrics") {
		t.Errorf("no warning: %s", &p.stderr)
	}
}

func TestMetricsAreServedAtTheConfiguredAddress(t *testing.T) {
	dir, _, _ := newInstance(t)
	p := start(t, dir, "--set", "metrics.listen=127.0.0.1:0")
	p.awaitReady()
	p.end(syscall.SIGTERM)
	_, after, ok := strings.Cut(p.stderr.String(), "address=127.0.0.1:")
	if !ok || strings.HasPrefix(after, "0") {
		t.Errorf("the log does not name the address: %s", &p.stderr)
	}
}

func TestCommandLineThatMakesNoSenseIsRefused(t *testing.T) {
	t.Setenv(instance.EnvRunDir, t.TempDir())
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"--help"}, exitOK},
		{[]string{"--nonsense"}, exitUsage},
		{[]string{"extra"}, exitUsage},
		{[]string{"--set", "policy=perhaps"}, exitFailure},
		{[]string{"--config", "/does/not/exist"}, exitFailure},
	} {
		var out bytes.Buffer
		if got := Execute(c.args, io.MultiWriter(&out)); got != c.want || out.Len() == 0 {
			t.Errorf("%q: status %d, %s", c.args, got, &out)
		}
	}
}

func TestReloadThatWouldWeakenThePolicyNeedsTheWord(t *testing.T) {
	dir, in, data := newInstance(t)
	file := filepath.Join(dir, "gw.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("policy: require\napplication_aware: mandatory\nteps: [ECDHE_Curve448]\n")
	p := start(t, dir, "--config", file, "--set", "metrics.listen=off", "--set", "aeads=AES_256_GCM")
	p.awaitReady()
	var before shm.Rules
	if !data.seg.Rules(&before) || before.Policy != flowtable.Require || !before.Mandatory || !slices.Equal(before.AEADs(), []uint16{2}) {
		t.Fatalf("rules %+v", before)
	}
	reload := func() (r config.Reloaded) {
		t.Helper()
		answer, err := controlClient(in).Post("http://gateway/reload", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if err := json.NewDecoder(answer.Body).Decode(&r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	const all = "policy: require\napplication_aware: mandatory\nteps: [ECDHE_Curve448]\n"
	for name, c := range map[string]struct {
		change func()
		says   string
	}{
		"missing":     {func() { os.Remove(file) }, "no such file"},
		"a folder":    {func() { os.Remove(file); os.Mkdir(file, 0o700) }, "is a directory"},
		"empty":       {func() { os.RemoveAll(file); write("") }, "write `policy: opportunistic` there"},
		"comment":     {func() { write("# policy: require\n") }, "write `application_aware: off` there"},
		"no policy":   {func() { write(strings.Replace(all, "policy", "#", 1)) }, "write `policy: opportunistic` there"},
		"no bit":      {func() { write(strings.Replace(all, "application_aware", "#", 1)) }, "write `application_aware: off` there"},
		"no teps":     {func() { write(strings.Replace(all, "teps", "#", 1)) }, "write `teps: ["},
		"half a file": {func() { write(all[:len("policy: requ")]) }, "policy"},
		"no yaml":     {func() { write(all + "\t") }, "gw.yaml:4"},
	} {
		c.change()
		r := reload()
		if len(r.Errors) == 0 || !strings.Contains(strings.Join(r.Errors, "\n"), c.says) {
			t.Errorf("%s: %+v, want %q", name, r, c.says)
		}
		var now shm.Rules
		if !data.seg.Rules(&now) || now != before {
			t.Errorf("%s: the rules have changed", name)
		}
		os.RemoveAll(file)
	}
	// The word is what it takes; the ciphers are on the command line.
	write("policy: opportunistic\napplication_aware: mandatory\nteps: [ECDHE_Curve448]\nworkers: {count: 2}\n")
	r := reload()
	if len(r.Errors) != 0 || !slices.Equal(r.Weakened, []string{"policy (require -> opportunistic)"}) || !slices.Equal(r.Restart, []string{"workers.count (1 -> 2)"}) {
		t.Errorf("with the word: %+v", r)
	}
	if data.seg.Policy() != flowtable.Opportunistic {
		t.Errorf("policy %v", data.seg.Policy())
	}
	p.end(syscall.SIGTERM)
	log := p.stderr.String()
	for _, want := range []string{"level=ERROR msg=\"the configuration is not loaded again", "level=WARN msg=\"new connections are protected less", "workers.count (1 -> 2)"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
}

func TestControlPlaneThatIsStartedAgainDoesNotWeakenThePolicyWithoutTheWord(t *testing.T) {
	dir, _, data := newInstance(t)
	file := filepath.Join(dir, "gw.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("policy: require\nteps: [ECDHE_Curve448]\n")
	for _, c := range []struct {
		file   string
		policy flowtable.Policy
		says   string
	}{
		{"policy: require\nteps: [ECDHE_Curve448]\n", flowtable.Require, "attached"},
		{"", flowtable.Require, "write `policy: opportunistic` there"},
		{"policy: opportunistic\n", flowtable.Require, "write `teps: ["},
		{"policy: opportunistic\nteps: [ECDHE_Curve448]\n", flowtable.Opportunistic, "level=WARN"},
		{"policy: require\nteps: [ECDHE_Curve448]\n", flowtable.Require, "attached"},
	} {
		write(c.file)
		p := start(t, dir, "--config", file, "--set", "metrics.listen=off")
		p.awaitReady()
		if got := data.seg.Policy(); got != c.policy {
			t.Errorf("%q: policy %v", c.file, got)
		}
		var r shm.Rules
		if !data.seg.Rules(&r) || !slices.Equal(r.TEPs(), []eno.TEP{0x24}) {
			t.Errorf("%q: teps % x", c.file, r.TEPs())
		}
		_ = p.cmd.Process.Kill()
		if log := p.wait(); !strings.Contains(log, c.says) {
			t.Errorf("%q: the log lacks %q:\n%s", c.file, c.says, log)
		}
	}
	// What another data plane makes has no rules yet: the file counts.
	write("")
	data.end()
	fresh := newPlane(t, data.dir, 1)
	p := start(t, dir, "--config", file, "--set", "metrics.listen=off")
	p.awaitReady()
	if got := fresh.seg.Policy(); got != flowtable.Opportunistic {
		t.Errorf("a new gateway begins with policy %v", got)
	}
	p.end(syscall.SIGTERM)
}

func TestControlPlaneThatIsStartedAgainGoesOnWithoutAFileThatCanBeRead(t *testing.T) {
	dir, in, data := newInstance(t)
	file := filepath.Join(dir, "gw.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	lock, err := in.Lock(instance.DataPlane)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Release() })
	const good = "policy: require\nteps: [ECDHE_Curve448]\nsession_table: {group: '0'}\nmetrics: {listen: 'off'}\n"
	write("policy: [\n")
	p := start(t, dir, "--config", file)
	if out := p.wait(); p.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out, "gw.yaml:") {
		t.Errorf("the first one: status %d, %s", p.cmd.ProcessState.ExitCode(), out)
	}
	write(good)
	p = start(t, dir, "--config", file)
	p.awaitReady()
	_ = p.cmd.Process.Kill()
	p.wait()
	for name, spoil := range map[string]func(){
		"broken":  func() { write("policy: [\n") },
		"missing": func() { os.Remove(file) },
	} {
		spoil()
		p = start(t, dir, "--config", file)
		p.awaitReady()
		data.mustBegin(0)
		var r shm.Rules
		if !data.seg.Rules(&r) || r.Policy != flowtable.Require || !slices.Equal(r.TEPs(), []eno.TEP{0x24}) {
			t.Errorf("%s: rules %+v", name, r)
		}
		if group := sessiontable.GroupOf(in.SessionTablePath()); group != "0" {
			t.Errorf("%s: the session table is for group %q", name, group)
		}
		write(good)
		_ = p.cmd.Process.Signal(syscall.SIGHUP)
		p.awaitSaid("is loaded again")
		_ = p.cmd.Process.Kill()
		if log := p.wait(); !strings.Contains(log, "level=ERROR msg=\"the configuration cannot be loaded") {
			t.Errorf("%s: the log is %s", name, log)
		}
	}
}

func TestReloadOpensAKeyLogThatWasMovedAnew(t *testing.T) {
	dir, in, data := newInstance(t)
	keys := filepath.Join(dir, "keys")
	p := start(t, dir, "--set", "debug.key_log="+keys, "--set", "metrics.listen=off")
	p.awaitReady()
	if err := os.Rename(keys, keys+".1"); err != nil {
		t.Fatal(err)
	}
	answer, err := controlClient(in).Post("http://gateway/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	data.call(0, data.from(0, 1, 1, 1000, keysFor(t, tcpcrypt.ECDHECurve25519)), shm.Keys)
	old, _ := os.ReadFile(keys + ".1")
	if b, err := os.ReadFile(keys); err != nil || len(b) == 0 || len(old) > 0 {
		t.Errorf("%v, %d bytes of keys in the new file, %d in the one that was moved", err, len(b), len(old))
	}
	p.end(syscall.SIGTERM)
}

func TestReloadThatFailsLogsNoKeys(t *testing.T) {
	dir, in, data := newInstance(t)
	file, keys := filepath.Join(dir, "gw.yaml"), filepath.Join(dir, "keys")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("policy: opportunistic\n")
	p := start(t, dir, "--config", file, "--set", "metrics.listen=off")
	p.awaitReady()
	c := withPeer(t, "")
	write("policy: opportunistic\ndebug: {key_log: " + keys + "}\npeering: {key: " + c.Peering.Key + ", listen: '" + taken.Addr().String() + "'}\n" +
		"peers: [{name: far, key: '" + identity.Public(c.Peers[0].Key) + "', prefixes: [198.51.0.0/16]}]\n")
	answer, err := controlClient(in).Post("http://gateway/reload", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var r config.Reloaded
	if err := json.NewDecoder(answer.Body).Decode(&r); err != nil || len(r.Errors) == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	data.call(0, data.from(0, 1, 1, 1000, keysFor(t, tcpcrypt.ECDHECurve25519)), shm.Keys)
	if b, _ := os.ReadFile(keys); len(b) > 0 || in.KeyLog() != "" {
		t.Errorf("%v; yet %d bytes of keys are in the log, which status calls %q", r.Errors, len(b), in.KeyLog())
	}
	p.end(syscall.SIGTERM)
}
