package config

import (
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"linecrypt/ctrlplane/config/keyfile"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

func TestEveryErrorNamesFileLineAndKey(t *testing.T) {
	tests := []struct{ name, yaml, want string }{
		{"unknown key", "name: a\npolcy: require\n", "f.yaml:2: polcy: unknown key; did you mean policy"},
		{"unknown key in section", "workers:\n  core: [1]\n", "f.yaml:2: workers.core: unknown key; did you mean workers.cores (cores: below workers:)"},
		{"key outside its section", "cores: [1]\n", "f.yaml:1: cores: unknown key; did you mean workers.cores (cores: below workers:)"},
		{"section of no key", "metricss:\n  pages: 1\n", "f.yaml:1: metricss: unknown key; did you mean metrics"},
		{"key that no section has", "metrics.x: 1\n", "f.yaml:1: metrics.x: unknown key"},
		{"dotted key", "workers.cores: [1]\n", "f.yaml:1: workers.cores: unknown key; did you mean workers.cores (cores: below workers:)"},
		{"resembles nothing", "zzzzzzzzzz: 1\n", "f.yaml:1: zzzzzzzzzz: unknown key"},
		{"bad choice", "\npolicy: maybe\n", `f.yaml:2: policy: "maybe" is not one of opportunistic, require, disabled, off`},
		{"list for scalar", "policy: [require]\n", "f.yaml:1: policy: want choice, not a list"},
		{"scalar for list", "teps: ECDHE_P256\n", "f.yaml:1: teps: want a list, for example [ECDHE_P256]"},
		{"mapping for scalar", "policy:\n  a: b\n", "f.yaml:2: policy: want a value, not further keys"},
		{"scalar for section", "workers: 2\n", "f.yaml:1: workers: want keys and values"},
		{"text for number", "workers:\n  count: two\n", `f.yaml:2: workers.count: "two" is not a whole number`},
		{"quoted number", "workers:\n  count: \"2\"\n", `f.yaml:2: workers.count: want integer, not quoted text`},
		{"out of range", "workers:\n  count: 65\n", "f.yaml:2: workers.count: 65 is not in 1 to 64"},
		{"huge number", "flows:\n  max: 99999999999999999999\n", `f.yaml:2: flows.max: "99999999999999999999" is not a whole number`},
		{"duration without unit", "handshake:\n  timeout: 3\n", `f.yaml:2: handshake.timeout: "3" is not a duration: want a number with us, ms, s or m, for example 500ms`},
		{"duration out of range", "handshake:\n  timeout: 1h\n", "f.yaml:2: handshake.timeout: 1h is not in 100ms to 10m0s"},
		{"bad size", "rekey:\n  bytes: 1XB\n", `f.yaml:2: rekey.bytes: "1XB" is not a size: want bytes, or a whole number with KiB, MiB, GiB or TiB`},
		{"size overflow", "rekey:\n  bytes: 99999999TiB\n", `f.yaml:2: rekey.bytes: "99999999TiB" is not a size: want bytes, or a whole number with KiB, MiB, GiB or TiB`},
		{"no value", "policy:\n", "f.yaml:1: policy: has no value"},
		{"duplicate", "policy: require\nname: a\npolicy: disabled\n", "f.yaml:3: policy: is given twice, first in line 1"},
		{"duplicate section", "log:\n  level: info\nlog:\n  level: warn\n", "f.yaml:3: log: is given twice, first in line 1"},
		{"duplicate item", "teps: [ECDHE_P256, ECDHE_P256]\n", "f.yaml:1: teps: ECDHE_P256 is listed twice"},
		{"empty list", "aeads: []\n", "f.yaml:1: aeads: the list is empty"},
		{"unknown cipher", "aeads: [DES]\n", `f.yaml:1: aeads: "DES" is no cipher: want some of AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305`},
		{"nested item", "teps:\n  - [a]\n", "f.yaml:2: teps: an item of the list is not a plain value"},
		{"bad name", "name: ../x\n", `f.yaml:1: name: instance name "../x": want a-z, 0-9, '.', '_' and '-', beginning with a letter or a digit`},
		{"control character", "inside: \"eth\\e0\"\n", `f.yaml:1: inside: "eth\x1b0" holds a character that is not printable`},
		{"bad address", "metrics:\n  listen: 9469\n", `f.yaml:2: metrics.listen: "9469" is neither address:port nor off`},
		{"bad core", "workers:\n  cores: [1, -1]\n", `f.yaml:2: workers.cores: "-1" is not a core number from 0 to 1023`},
		{"anchor", "name: &a x\n", "f.yaml:1: name: anchors and aliases are not supported"},
		{"alias", "teps: [&a ECDHE_P256]\naeads: *a\n", "f.yaml:1: teps: anchors and aliases are not supported\nf.yaml:2: aeads: anchors and aliases are not supported"},
		{"not YAML", "name: a\n\tb: c\n", "f.yaml:2: not YAML: found a tab character that violates indentation"},
		{"two documents", "name: a\n---\nname: b\n", "f.yaml:2: a second document begins here; only one is read"},
		{"list at the top", "- a\n", "f.yaml:1: want keys and values"},
		{"key is a list", "[a]: b\n", "f.yaml:1: a key is not a name"},
		{"all of them", "a1: 1\npolicy: x\nlog:\n  level: y\n",
			"f.yaml:1: a1: unknown key\nf.yaml:2: policy: \"x\" is not one of opportunistic, require, disabled, off\nf.yaml:4: log.level: \"y\" is not one of debug, info, warn, error"},
		{"count against cores", "workers:\n  count: 2\n  cores: [3]\n", "f.yaml:2: workers.count: 2 does not fit the 1 cores of workers.cores"},
		{"timers", "handshake:\n  retransmit: 2s\n  timeout: 1s\n", "f.yaml:2: handshake.retransmit: handshake.retransmit 2s is longer than handshake.timeout 1s"},
		{"one port", "inside: eth0\noutside: eth0\n", `f.yaml:2: outside: inside and outside are the same port "eth0"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("f.yaml", []byte(tt.yaml))
			if err == nil {
				t.Fatalf("accepted: %+v", c)
			}
			if err.Error() != tt.want {
				t.Fatalf("error\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestOversizeFileIsRefused(t *testing.T) {
	data := append([]byte("# "), make([]byte, MaxFile)...)
	if _, err := Parse("f.yaml", data); err == nil || !strings.HasPrefix(err.Error(), "f.yaml: the file is larger than") {
		t.Fatalf("error %v", err)
	}
	path := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(path, []byte(strings.Repeat("#\n", MaxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "the file is larger than") {
		t.Fatalf("error %v", err)
	}
}

func TestErrorsAreBounded(t *testing.T) {
	_, err := Parse("f.yaml", []byte(strings.Repeat("? [a]\n", 1000)))
	if n := strings.Count(err.Error(), "\n"); n != keyfile.MaxErrors || !strings.HasSuffix(err.Error(), "f.yaml: and 968 more errors") {
		t.Fatalf("%d lines, ending %q", n+1, err.Error()[len(err.Error())-40:])
	}
}

func TestEmptyFileIsTheDefault(t *testing.T) {
	for _, data := range []string{"", "# nothing\n", "---\n", "workers:\n"} {
		c, err := Parse("f.yaml", []byte(data))
		if err != nil || !reflect.DeepEqual(c, Default()) {
			t.Errorf("%q: %+v, error %v", data, c, err)
		}
	}
}

func TestEveryKeyReachesItsField(t *testing.T) {
	const data = `
name: gw-1
inside: 0000:01:00.0
outside: net_af_xdp0,iface=eth1
policy: require
engine: generic
workers: {cores: [3, 2], poll: adaptive, idle_sleep: 100us}
flows: {max: 1000}
buffers: {memory: 16MiB, count: 2048}
retransmit: {flow_bytes: 65536, give_up: 2m}
reassembly: {flow_bytes: 2MiB, large_buffers: 3}
handshake: {retransmit: 500ms, timeout: 5s, half_open: 1000, eno_tries: 3}
teps: [ECDHE_P256, ECDHE_Curve25519]
aeads: [CHACHA20_POLY1305]
application_aware: mandatory
rekey: {frames: 10, bytes: 1GiB, time: 90m}
keepalive: {idle: 2h, interval: 30s, probes: 4}
resume: off
resumption: {cache: 100, lifetime: 2m, nonce: 4}
authenticated: no
on_mismatch: reset
peering: {key: k, listen: "[::]:9470", timeout: 4s}
peers: []
metrics: {listen: off, page: off}
session_table: {group: users}
sessions: {listen: "192.0.2.1:8548", certificate: /etc/c.pem, key: /etc/k.pem, client_ca: /etc/ca.pem}
dpdk: {eal: [--no-huge, "-m 64"], memory_mb: 64, mtu: 9000}
log: {level: debug}
debug: {key_log: /tmp/keys}
fastpath: off
memory: {huge_pages: off}
rules:
  - {name: db, inside: [10.1.0.0/16], ports: [5432], direction: inbound, vlan: [100], policy: off}
`
	c, err := Parse("f.yaml", []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Name: "gw-1", Inside: "0000:01:00.0", Outside: "net_af_xdp0,iface=eth1", Policy: flowtable.Require, Engine: "generic", FastPath: false,
		Workers:    Workers{2, []int{3, 2}, Adaptive, 100 * time.Microsecond},
		Flows:      Flows{1000},
		Buffers:    Buffers{16 << 20, 2048},
		Memory:     Memory{false},
		Retransmit: Retransmit{65536, 2 * time.Minute},
		Reassembly: Reassembly{2 << 20, 3},
		Handshake:  Handshake{500 * time.Millisecond, 5 * time.Second, 1000, 3},
		TEPs:       []tcpcrypt.TEP{tcpcrypt.ECDHEP256, tcpcrypt.ECDHECurve25519},
		AEADs:      []tcpcrypt.AEAD{tcpcrypt.ChaCha20Poly1305}, ApplicationAware: AwareMandatory,
		OnMismatch: MismatchReset,
		Peering:    Peering{"k", "[::]:9470", 4 * time.Second},
		Rekey:      Rekey{10, 1 << 30, 90 * time.Minute}, KeepAlive: KeepAlive{2 * time.Hour, 30 * time.Second, 4}, Resumption: Resumption{100, 2 * time.Minute, 4}, SessionTable: SessionTable{"users"},
		Sessions: Sessions{"192.0.2.1:8548", "/etc/c.pem", "/etc/k.pem", "/etc/ca.pem"},
		DPDK:     DPDK{[]string{"--no-huge", "-m 64"}, 64, 9000}, Log: Log{slog.LevelDebug}, Debug: Debug{"/tmp/keys"},
		Rules: []Rule{{
			Name: "db", Policy: flowtable.Disabled, set: c.Rules[0].set,
			Match: policy.Match{
				Inside: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Ports: []policy.Range{{Low: 5432, High: 5432}},
				VLANs: []policy.Range{{Low: 100, High: 100}}, Direction: policy.Inbound,
			},
		}},
		set: c.set,
	}
	if !reflect.DeepEqual(c, want) {
		t.Fatalf("got\n%+v\nwant\n%+v", c, want)
	}
	for _, k := range Keys() {
		if !c.IsSet(k.Name) && k.Name != "workers.count" {
			t.Errorf("key %s is not in this test", k.Name)
		}
	}
}

func TestPositionIsRememberedForLaterErrors(t *testing.T) {
	c, err := Parse("f.yaml", []byte("name: a\n\ninside: eth9\nworkers:\n  poll: busy\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p := c.Pos("inside"); p != (Position{File: "f.yaml", Line: 3}) {
		t.Errorf("inside: %v", p)
	}
	if p := c.Pos("workers.poll"); p.String() != "f.yaml:5" {
		t.Errorf("workers.poll: %v", p)
	}
	if p := c.Pos("outside"); p.String() != "default" || c.IsSet("outside") {
		t.Errorf("outside: %v", p)
	}
	reason := errors.New("no such interface")
	err = c.Err("inside", reason)
	if err.Error() != "f.yaml:3: inside: no such interface" || !errors.Is(err, reason) {
		t.Errorf("error %v", err)
	}
	if err := c.RequirePorts(); err == nil || err.Error() != "outside: no port is given: use --outside PORT, or the key outside of the configuration file" {
		t.Errorf("error %v", err)
	}
}

func parseFlags(t *testing.T, args ...string) (*Flags, error) {
	t.Helper()
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f := AddFlags(fs)
	return f, fs.Parse(args)
}

func TestFlagsOverrideTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(path, []byte("inside: eth0\npolicy: require\nname: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--config", path, "--inside", "eth5", "--name", "b", "--set", "workers.cores=1,2", "--set", "teps=ECDHE_P521"}
	f, err := parseFlags(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.Load()
	if err != nil {
		t.Fatal(err)
	}
	if c.Inside != "eth5" || c.Name != "b" || c.Policy != flowtable.Require || !slices.Equal(c.Workers.Cores, []int{1, 2}) || c.TEPs[0] != tcpcrypt.ECDHEP521 {
		t.Fatalf("%+v", c)
	}
	if got := c.Err("inside", errors.New("x")).Error(); got != "command line: inside: x" {
		t.Errorf("error %q", got)
	}
	if !slices.Equal(f.Args(), args) {
		t.Errorf("args %q, want %q", f.Args(), args)
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	if _, err := parseFlags(t, "--set", "policy"); err == nil || !strings.Contains(err.Error(), "want KEY=VALUE") {
		t.Errorf("error %v", err)
	}
	if _, err := parseFlags(t, "--set", "polcy=require"); err == nil || !strings.Contains(err.Error(), "polcy: unknown key; did you mean policy") {
		t.Errorf("error %v", err)
	}
	f, err := parseFlags(t, "--set", "policy=x", "--name", "Ä")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Load()
	if err == nil || !strings.HasPrefix(err.Error(), "command line: policy: ") || !strings.Contains(err.Error(), "\ncommand line: name: ") {
		t.Errorf("error %v", err)
	}
}

func TestExampleIsTheDefaultWithPorts(t *testing.T) {
	c, err := Parse("example", []byte(Example()))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Inside, want.Outside, want.set = "eth0", "eth1", c.set
	if !reflect.DeepEqual(c, want) {
		t.Fatalf("got\n%+v\nwant\n%+v", c, want)
	}
	for _, k := range Keys() {
		if !c.IsSet(k.Name) {
			t.Errorf("%s is missing", k.Name)
		}
	}
}

func TestMarkdownHasALineForEachKey(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(Markdown()), "\n")
	if len(lines) != len(keys)+2 {
		t.Fatalf("%d lines for %d keys", len(lines), len(keys))
	}
	for i, k := range Keys() {
		if !strings.HasPrefix(lines[i+2], "| `"+k.Name+"` |") || strings.Count(lines[i+2], "|") != 6 {
			t.Errorf("line %q", lines[i+2])
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(Example()))
	for _, s := range []string{"", "a: &a [*a]", "<<: {name: x}", "name: !!binary aGk=", "? [x]\n: y", "workers: {cores: [0x1, 1_0]}", "%YAML 1.1\n---\nname: a\n...\n", "\xff\xfe", "rekey: {bytes: 8388608TiB}", "[[[[[["} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("f", data)
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v with error %v", c, err)
		}
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if line == "" {
					t.Fatalf("an empty error among %q", err)
				}
			}
			return
		}
		if c.Workers.Count < 1 || c.Workers.Count > MaxWorkers || len(c.TEPs) == 0 || len(c.AEADs) == 0 || c.Validate() != nil {
			t.Fatalf("accepted %+v", c)
		}
	})
}

func TestTimesThatMayBeNeverTakeZero(t *testing.T) {
	for value, reason := range map[string]string{
		"0": "", "0s": "", "1s": "", "720h": "", "90m": "",
		"500ms": "500ms is not 0, or 1s to 720h0m0s", "721h": "721h is not 0, or 1s to 720h0m0s", "-1s": "-1s is not 0, or 1s to 720h0m0s",
		"never": `"never" is not a duration`, "5": `"5" is not a duration`,
	} {
		err := Default().Set("test", "keepalive.idle", value)
		if (err == nil) != (reason == "") || err != nil && !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// One that waits for a writer would keep the control plane from ever loading another.
func TestPipeThatNobodyWritesToIsNoConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { _, err := Load(path); done <- err }()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "a pipe that nobody writes to") {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it waits")
	}
}
