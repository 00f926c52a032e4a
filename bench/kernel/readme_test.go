package kernel

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"linecrypt/bench/testenv"
)

// elsewhere are the commands of the README that other tests run, or that contain this one.
var elsewhere = map[string]string{
	"make demo":                      "it is itself a test, of a minute; its steps are those of package bench/demo",
	"make test":                      "it runs this test",
	"apt install":                    "make test-deb",
	"linecrypt config --check /etc/": "make test-deb",
	"systemctl enable":               "make test-deb",
	"systemctl status":               "make test-deb",
	"bin/linecrypt host":             "TestHostsProtectEveryConnectionAndChangeNothingElse",
	"ssh -L":                         "another machine's business",
}

// endless are those that go on until they are interrupted.
var endless = regexp.MustCompile(`^bin/linecrypt (run|trace|sessions --watch)\b`)

// readmeCommands are the indented lines that are commands, without their comments.
func readmeCommands(t *testing.T) (list []string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^    ((?:bin/linecrypt|linecrypt|make|curl|apt|systemctl|ssh) .*)$`).FindAllStringSubmatch(string(text), -1) {
		command, _, _ := strings.Cut(m[1], "  #")
		list = append(list, strings.TrimSpace(command))
	}
	if len(list) < 15 {
		t.Fatalf("only %d commands: %q", len(list), list)
	}
	return list
}

// place is a machine as the README has it: interfaces eth0 and eth1, and the programs in bin.
type place struct {
	t          *testing.T
	netns, dir string
}

func (p *place) command(line string) *exec.Cmd {
	cmd := exec.Command("ip", "netns", "exec", p.netns, "sh", "-c", "exec "+line)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "LINECRYPT_RUN_DIR="+p.dir+"/run", "PATH=/usr/sbin:/usr/bin:/sbin:/bin")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func newPlace(t *testing.T) *place {
	t.Helper()
	needTool(t, "curl")
	p := &place{t, testenv.NewNetNS(t), t.TempDir()}
	if err := os.Symlink(programs, filepath.Join(p.dir, "bin")); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"ip link set lo up", "ip link add eth0 type veth peer name host", "ip link add eth1 type veth peer name network",
		"ip link set eth0 up", "ip link set eth1 up", "ip link set host up", "ip link set network up",
	} {
		if out, err := p.command(line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	return p
}

func TestEveryCommandOfTheReadmeRuns(t *testing.T) {
	p := newPlace(t)
	var gateway *exec.Cmd
	done := make(chan error, 1)
	for _, line := range readmeCommands(t) {
		if skipped(line) {
			continue
		}
		if strings.HasPrefix(line, "bin/linecrypt run ") && gateway == nil {
			gateway = p.start(line+" --set workers.poll=adaptive", done)
			continue
		}
		if strings.HasPrefix(line, "bin/linecrypt run ") {
			continue // with other flags: there is one gateway at a time here
		}
		cmd := p.command(line)
		if endless.MatchString(line) {
			p.interrupt(cmd, line)
			continue
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("the gateway, when it was told to stop: %v", err)
		}
	case <-time.After(patience):
		t.Error("the gateway goes on after `linecrypt stop`")
		_ = syscall.Kill(-gateway.Process.Pid, syscall.SIGKILL)
		<-done
	}
}

func skipped(line string) bool {
	for prefix := range elsewhere {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

// start runs a gateway and waits until it is ready.
func (p *place) start(line string, done chan<- error) *exec.Cmd {
	p.t.Helper()
	log, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	cmd := p.command(line)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	go func() { done <- cmd.Wait() }()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(log.Name())
		if err == nil && strings.Contains(string(text), "ready") && p.command("bin/linecrypt status").Run() == nil {
			return cmd
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s: not ready\n%s", line, text)
		}
	}
}

// interrupt runs a command that goes on, and interrupts it after a moment.
func (p *place) interrupt(cmd *exec.Cmd, line string) {
	p.t.Helper()
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer stop()
	time.Sleep(time.Second)
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		p.t.Errorf("%s: %v\n%s", line, err, out.String())
	}
}
