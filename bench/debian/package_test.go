package debian

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"linecrypt/bench/testenv"
)

const (
	root  = "../.."
	files = root + "/cmd/linecrypt/debian"
)

// run returns what a command prints.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestPackageHasWhatAMachineNeeds(t *testing.T) {
	for _, tool := range []string{"dpkg-deb", "dpkg-shlibdeps", "cc", "git"} {
		testenv.NeedCommand(t, tool)
	}
	dir := t.TempDir()
	run(t, files+"/build", dir, "linecrypt")
	debs, err := filepath.Glob(dir + "/*.deb")
	if err != nil || len(debs) != 1 {
		t.Fatal(debs, err)
	}
	content := run(t, "dpkg-deb", "-c", debs[0])
	for _, path := range []string{"/usr/bin/linecrypt -> ", "/usr/lib/linecrypt/linecrypt-dataplane", "/usr/lib/linecrypt/linecrypt-ctrlplane",
		"/lib/systemd/system/linecrypt@.service", "/lib/systemd/system/linecrypt-host@.service", "/usr/share/man/man1/linecrypt-host.1.gz", "/usr/lib/sysusers.d/linecrypt.conf", "/usr/lib/tmpfiles.d/linecrypt.conf", "/etc/linecrypt/example.yaml",
		"/usr/share/man/man1/linecrypt.1.gz", "/usr/share/man/man1/linecrypt-setup-hugepages.1.gz", "/usr/share/man/man5/linecrypt.yaml.5.gz",
		"/usr/share/bash-completion/completions/linecrypt", "/usr/share/zsh/vendor-completions/_linecrypt", "/usr/share/fish/vendor_completions.d/linecrypt.fish",
		"/liblinecrypt-session.so", "/usr/include/linecrypt_tcpcrypt.h", "/tcpcrypt.lua", "/grafana/linecrypt.json", "/prometheus/linecrypt.rules.yml", "/usr/share/doc/linecrypt/README.md.gz",
		"/usr/share/doc/linecrypt/docs/configuration.md.gz", "/usr/share/doc/linecrypt/copyright"} {
		if !strings.Contains(content, path) {
			t.Errorf("%s is not in the package", path)
		}
	}
	for line := range strings.Lines(content) {
		if !strings.Contains(line, " root/root ") || regexp.MustCompile(`^-.{4}w|^-.{7}w`).MatchString(line) {
			t.Errorf("not root's alone: %s", line)
		}
	}
	into := filepath.Join(dir, "root")
	run(t, "dpkg-deb", "-x", debs[0], into)
	if out := run(t, into+"/usr/bin/linecrypt", "version"); !strings.Contains(out, "not compiled in") {
		t.Errorf("the package without DPDK: %s", out)
	}
	if out := run(t, "dpkg-deb", "-f", debs[0], "Depends"); !strings.Contains(out, "libc6") || !strings.Contains(out, "systemd") || strings.Contains(out, "librte") {
		t.Errorf("depends on %s", out)
	}
	run(t, into+"/usr/bin/linecrypt", "config", "--check", into+"/etc/linecrypt/example.yaml")
}

func TestUnitsAreWellFormedAndHardened(t *testing.T) {
	testenv.NeedCommand(t, "systemd-analyze")
	// 2.5 of 10 is what a network service with a capability can reach; 10 is a service without any of it. Host mode has CAP_NET_ADMIN, CAP_BPF and
	// a device besides.
	for _, c := range []struct{ name, with, threshold string }{{"linecrypt@", "", "25"}, {"linecrypt@", "xdp.conf", "25"}, {"linecrypt-host@", "", "25"}} {
		name, threshold := c.name, c.threshold
		t.Run(name+c.with, func(t *testing.T) {
			text, err := os.ReadFile(files + "/" + name + ".service")
			if err != nil {
				t.Fatal(err)
			}
			if c.with != "" {
				more, err := os.ReadFile(files + "/" + c.with)
				if err != nil {
					t.Fatal(err)
				}
				text = append(text, more...)
			}
			// Systemd-analyze looks whether the program and the page are there.
			unit := strings.ReplaceAll(string(text), "/usr/bin/linecrypt ", "/bin/true ")
			unit = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAllString(unit, "")
			path := filepath.Join(t.TempDir(), name+"demo.service")
			if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
				t.Fatal(err)
			}
			if out := run(t, "systemd-analyze", "verify", "--man=no", path); strings.Contains(out, path) {
				t.Errorf("systemd-analyze verify: %s", out)
			}
			run(t, "systemd-analyze", "security", "--offline=yes", "--threshold="+threshold, path)
		})
	}
}
