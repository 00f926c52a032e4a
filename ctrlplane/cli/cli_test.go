package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/instance"
)

// call runs a command line in an empty run directory.
func call(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	if os.Getenv(instance.EnvRunDir) == "" {
		t.Setenv(instance.EnvRunDir, filepath.Join(t.TempDir(), "r"))
	}
	var out, errs bytes.Buffer
	a := App{Stdout: &out, Stderr: &errs, Hugepages: fakePages()}
	status = a.Main(args)
	return status, out.String(), errs.String()
}

func fakePages() Hugepages {
	return Hugepages{
		Read: func() (Pages, error) { return Pages{PageBytes: 2 << 20}, nil },
		Setup: func(n int) (Pages, error) {
			if n > 1000 {
				return Pages{}, errors.New("huge pages: memory is short")
			}
			return Pages{2 << 20, n, n - 1, []string{"/dev/hugepages"}}, nil
		},
	}
}

func TestUsageErrorsSayWhatIsWrongAndExitWith2(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte("inside: eth0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const commands = "\nRun 'linecrypt help' for the commands.\n"
	tests := []struct {
		args []string
		want string
	}{
		{nil, "linecrypt: no command is given" + commands},
		{[]string{"rum"}, `linecrypt: unknown command "rum"; did you mean run?` + commands},
		{[]string{"help", "rum"}, `linecrypt: unknown command "rum"; did you mean run?` + commands},
		{[]string{"help", "completion", "bash"}, "linecrypt completion: help takes a command alone, without \"bash\"\nRun 'linecrypt help completion' for its flags.\n"},
		{[]string{"sttaus"}, `linecrypt: unknown command "sttaus"; did you mean status?` + commands},
		{[]string{"relod", "--name", "x"}, `linecrypt: unknown command "relod"; did you mean reload?` + commands},
		{[]string{"stpo"}, `linecrypt: unknown command "stpo"; did you mean stop?` + commands},
		{[]string{"setpu", "hugepages"}, `linecrypt: unknown command "setpu"; did you mean setup?` + commands},
		{[]string{"hlep"}, `linecrypt: unknown command "hlep"; did you mean help?` + commands},
		{[]string{"frobnicate"}, `linecrypt: unknown command "frobnicate"` + commands},
		{[]string{"--version", "x"}, "linecrypt version: unexpected argument \"x\"\nRun 'linecrypt help version' for its flags.\n"},
		{[]string{"setup"}, `linecrypt: setup: want "setup hugepages|nic"` + commands},
		{[]string{"setup", "x"}, `linecrypt: setup x: want "setup hugepages|nic"` + commands},
		{[]string{"run", "--insid", "a"}, "linecrypt run: unknown flag --insid; did you mean --inside?\nRun 'linecrypt help run' for its flags.\n"},
		{[]string{"run", "eth0"}, "linecrypt run: unexpected argument \"eth0\"\nRun 'linecrypt help run' for its flags.\n"},
		{[]string{"run", "--config", file}, "linecrypt run: outside: no port is given: use --outside PORT, or the key outside of the configuration file\nRun 'linecrypt help run' for its flags.\n"},
		{[]string{"run", "--set", "x"}, "linecrypt run: invalid value \"x\" for flag -set: want KEY=VALUE\nRun 'linecrypt help run' for its flags.\n"},
		{[]string{"sessions", "--jsn"}, "linecrypt sessions: unknown flag --jsn; did you mean --json?\nRun 'linecrypt help sessions' for its flags.\n"},
		{[]string{"config"}, "linecrypt config: want one of --example, --markdown and --check FILE\nRun 'linecrypt help config' for its flags.\n"},
		{[]string{"setup", "hugepages", "--pages", "1", "--size", "2"}, "linecrypt setup hugepages: --pages and --size exclude each other\nRun 'linecrypt help setup hugepages' for its flags.\n"},
		{[]string{"setup", "hugepages", "--size", "0"}, "linecrypt setup hugepages: 0 reserves nothing; `sysctl -w vm.nr_hugepages=0` gives reserved pages back\nRun 'linecrypt help setup hugepages' for its flags.\n"},
		{[]string{"setup", "hugepages", "--pages", "0"}, "linecrypt setup hugepages: 0 reserves nothing; `sysctl -w vm.nr_hugepages=0` gives reserved pages back\nRun 'linecrypt help setup hugepages' for its flags.\n"},
		{[]string{"setup", "hugepages", "--pages", "-1"}, "linecrypt setup hugepages: the amount is not a sensible one\nRun 'linecrypt help setup hugepages' for its flags.\n"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			status, out, errs := call(t, tt.args...)
			if status != exitUsage || errs != tt.want || out != "" {
				t.Fatalf("status %d, output %q, error\n%s\nwant\n%s", status, out, errs, tt.want)
			}
		})
	}
}

func TestBadConfigurationIsPrintedWithFileAndLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte("inside: eth0\n\npolicy: maybe\npolcy: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want := file + ":3: policy: \"maybe\" is not one of opportunistic, require, disabled, off\n" + file + ":4: polcy: unknown key; did you mean policy\n"
	for _, args := range [][]string{{"run", "--config", file}, {"config", "--check", file}} {
		if status, _, errs := call(t, args...); status != exitFailure || errs != want {
			t.Errorf("%v: status %d, error\n%s\nwant\n%s", args, status, errs, want)
		}
	}
}

func TestMissingInstanceIsAFailureThatSaysWhatToDo(t *testing.T) {
	for _, args := range [][]string{{"sessions", "--json"}, {"status", "--json"}, {"reload"}, {"stop"}} {
		command := args[0]
		status, out, errs := call(t, append(args, "--name", "x")...)
		want := "linecrypt: no instance named \"x\" is running; start one with: linecrypt run --inside PORT --outside PORT --name x\n"
		if status != exitFailure || errs != want || out != "" {
			t.Errorf("%s: status %d, output %q, error %q, want %q", command, status, out, errs, want)
		}
	}
}

func TestMissingProgramIsNamed(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	status, _, errs := call(t, "run", "--inside", "a", "--outside", "b")
	if status != exitFailure || !strings.Contains(errs, "linecrypt-dataplane is neither beside this program") {
		t.Fatalf("status %d, error %q", status, errs)
	}
}

func TestHelpNamesEveryCommandAndFlag(t *testing.T) {
	status, out, _ := call(t, "help")
	if status != exitOK {
		t.Fatalf("status %d", status)
	}
	for _, c := range commands() {
		if !strings.Contains(out, "  "+c.name+" ") {
			t.Errorf("%s is not in\n%s", c.name, out)
		}
	}
	for _, args := range [][]string{{"help", "help"}, {"--help", "-h"}} {
		if status, same, errs := call(t, args...); status != exitOK || same != out {
			t.Errorf("%v: status %d: %s%s", args, status, same, errs)
		}
	}
	for _, args := range [][]string{{"help", "run"}, {"run", "--help"}, {"run", "-h"}} {
		status, out, _ = call(t, args...)
		for _, flag := range []string{"--inside PORT", "--outside PORT", "--name NAME", "--config FILE", "--set KEY=VALUE"} {
			if status != exitOK || !strings.Contains(out, "  "+flag+" ") {
				t.Errorf("%v: status %d, %s is not in\n%s", args, status, flag, out)
			}
		}
	}
}

func TestHelpOnTheFirstWordOfCommandsListsThem(t *testing.T) {
	for _, args := range [][]string{{"help", "key"}, {"key", "--help"}, {"key", "-h"}, {"key", "help"}} {
		status, out, errs := call(t, args...)
		if status != exitOK || errs != "" || !strings.Contains(out, "\n  key generate ") || !strings.Contains(out, "\n  key show ") || strings.Contains(out, "\n  run ") {
			t.Errorf("%v: status %d: %s%s", args, status, out, errs)
		}
	}
}

func TestSetupHugepagesReservesWhatIsAsked(t *testing.T) {
	for want, args := range map[string][]string{
		"huge pages: 512 of 2048 KiB reserved, 511 free, mounted on /dev/hugepages\n": nil,
		"huge pages: 7 of 2048 KiB reserved, 6 free, mounted on /dev/hugepages\n":     {"--pages", "7"},
		"huge pages: 2 of 2048 KiB reserved, 1 free, mounted on /dev/hugepages\n":     {"--size", "3"},
	} {
		status, out, errs := call(t, append([]string{"setup", "hugepages"}, args...)...)
		if status != exitOK || out != want {
			t.Errorf("%v: status %d, output %q, error %q", args, status, out, errs)
		}
	}
	if status, _, errs := call(t, "setup", "hugepages", "--pages", "1001"); status != exitFailure || errs != "linecrypt: huge pages: memory is short\n" {
		t.Errorf("status %d, error %q", status, errs)
	}
}

func TestConfigPrintsExampleAndReference(t *testing.T) {
	if _, out, _ := call(t, "config", "--example"); out != config.Example() {
		t.Errorf("example is\n%s", out)
	}
	if _, out, _ := call(t, "config", "--markdown"); out != config.Markdown() {
		t.Errorf("reference is\n%s", out)
	}
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte(config.Example()), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, out, errs := call(t, "config", "--check", file); status != exitOK || out != file+": no errors\n" {
		t.Errorf("status %d, output %q, error %q", status, out, errs)
	}
}

func TestConfigCheckComparesWithThisMachine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f.yaml")
	allowed, err := instance.AllowedCores()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, says string }{
		"engine":         {"engine: warp9\n", file + ":1: engine: "},
		"core":           {"policy: require\nworkers: {cores: [1023]}\n", file + ":2: workers.cores: core 1023 is not one"},
		"group":          {"\n\nsession_table: {group: no-such-group}\n", file + ":3: session_table.group: "},
		"group number":   {"session_table: {group: '-5'}\n", file + ":1: session_table.group: "},
		"address":        {"metrics: {listen: '192.0.2.77:9469'}\n", file + ":1: metrics.listen: "},
		"certificates":   {"\nsessions: {listen: '127.0.0.1:8548', certificate: /nowhere, key: /nowhere, client_ca: /nowhere}\n", file + ":2: sessions.listen: private key: "},
		"no certificate": {"sessions: {listen: '127.0.0.1:8548'}\n", file + ":1: sessions.listen: sessions.certificate is missing"},
		"three of them":  {"engine: warp9\nworkers: {cores: [1023]}\nsession_table: {group: no-such-group}\n", file + ":3: session_table.group: "},
		"nothing":        {fmt.Sprintf("engine: generic\nworkers: {cores: [%d]}\nsession_table: {group: '0'}\nmetrics: {listen: '127.0.0.1:9469'}\n", allowed[0]), ""},
		"name of group":  {"session_table: {group: root}\n", ""},
		"nothing at all": {"", ""},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		status, _, errs := call(t, "config", "--check", file)
		if (status == exitOK) != (c.says == "") || !strings.Contains(errs, c.says) {
			t.Errorf("%s: status %d, error %q, want %q", name, status, errs, c.says)
		}
	}
}

func TestVersionNamesCommitAndDPDK(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26", Settings: []debug.BuildSetting{
		{Key: "-tags", Value: "x,dpdk"}, {Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"},
	}}
	info.Main.Version = "v1.2.3"
	var b bytes.Buffer
	if err := printVersion(&b, info); err != nil {
		t.Fatal(err)
	}
	if want := "linecrypt v1.2.3\ncommit    abc with changes\ngo        go1.26\ndpdk      compiled in\n"; b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	b.Reset()
	if err := printVersion(&b, &debug.BuildInfo{}); err != nil || !strings.Contains(b.String(), "dpdk      not compiled in (build tag dpdk)\n") {
		t.Errorf("%v, got\n%s", err, b.String())
	}
	// This test's own tags are either.
	if _, out, _ := call(t, "--version"); !strings.HasPrefix(out, "linecrypt ") {
		t.Errorf("--version says %q", out)
	}
	if status, out, _ := call(t, "version"); status != exitOK || !strings.Contains(out, "compiled in") {
		t.Errorf("status %d, output\n%s", status, out)
	}
}

// fields returns the names of a JSON object's members, sorted.
func fields(t *testing.T, object any) []string {
	t.Helper()
	m, ok := object.(map[string]any)
	if !ok {
		t.Fatalf("%v is no object", object)
	}
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func decode(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return v
}
