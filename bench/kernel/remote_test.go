package kernel

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"linecrypt/bench/testenv"
	"linecrypt/bench/topology"
)

// certify makes an authority and certificates by the commands that the documents show; hosts are names with an address each.
func certify(t *testing.T, hosts map[string]string) (dir string) {
	t.Helper()
	for _, tool := range []string{"openssl", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			testenv.Skip(t, tool+" is not installed")
		}
	}
	dir = t.TempDir()
	openssl := func(args ...string) {
		t.Helper()
		cmd := exec.Command("openssl", append(strings.Fields("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365"), args...)...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl: %v\n%s", err, out)
		}
	}
	openssl("-subj", "/CN=sessions", "-keyout", "ca-key.pem", "-out", "ca.pem")
	for name, addr := range hosts {
		openssl("-subj", "/CN="+name, "-addext", "subjectAltName=IP:"+addr, "-addext", "basicConstraints=critical,CA:FALSE",
			"-CA", "ca.pem", "-CAkey", "ca-key.pem", "-keyout", name+"-key.pem", "-out", name+".pem")
	}
	return dir
}

func TestHostAsksTheControlPlaneByCurl(t *testing.T) {
	dir := certify(t, map[string]string{"gateway": "127.0.0.1", "host": topology.Client4, "other": "10.99.99.99"})
	b := newBed(t)
	const address = "127.0.0.1:8548"
	b.startA(topology.Packet, "sessions.listen="+address, "sessions.certificate="+filepath.Join(dir, "gateway.pem"),
		"sessions.key="+filepath.Join(dir, "gateway-key.pem"), "sessions.client_ca="+filepath.Join(dir, "ca.pem"))
	b.startB(topology.Packet)
	client, _ := b.mustConnect(ipv4)
	ask := func(who string) (reply map[string]any) {
		t.Helper()
		// The gateway has no address towards its hosts here: the question comes from beside it.
		url := fmt.Sprintf("https://%s/v1/session?inside=%s&outside=%s", address, client.LocalAddr(), client.RemoteAddr())
		out, err := b.top.Place(topology.SideA).Run("curl", "-sS", "--max-time", "20", "--cacert", filepath.Join(dir, "ca.pem"),
			"--cert", filepath.Join(dir, who+".pem"), "--key", filepath.Join(dir, who+"-key.pem"), url)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(out), &reply); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		return reply
	}
	if s, reply := b.wantSameSession(client), ask("host"); reply["session_id"] != s.SessionID || reply["opener"] != true {
		t.Errorf("%v, listed is %s", reply, s.SessionID)
	}
	if reply := ask("other"); reply["error"] != "not_allowed" || reply["session_id"] != nil {
		t.Errorf("another host: %v", reply)
	}
}

func TestWatchPrintsShortConnectionsAndEndsCleanly(t *testing.T) {
	b := gateways(t, topology.Packet)
	b.mustConnect(ipv4) // which is listed once somebody watches
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "linecrypt"), "sessions", "--watch", "--name", b.a.Name)
	cmd.Env = b.top.Env()
	out, err := cmd.StdoutPipe()
	b.check(err)
	b.check(cmd.Start())
	lines := make(chan string, 100)
	go func() {
		for sc := bufio.NewScanner(out); sc.Scan(); {
			lines <- sc.Text()
		}
		close(lines)
	}()
	<-lines
	const n = 5
	for range n {
		client, srv, err := b.connect(ipv4)
		b.check(err)
		client.Close()
		srv.Close()
	}
	open, shut := map[string]bool{}, map[string]bool{}
	for len(shut) < n {
		select {
		case line := <-lines:
			var e struct {
				Event     string `json:"event"`
				SessionID string `json:"session_id"`
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			map[string]map[string]bool{"open": open, "close": shut}[e.Event][e.SessionID] = true
		case <-ctx.Done():
			t.Fatalf("%d opened, %d closed of %d", len(open), len(shut), n)
		}
	}
	if len(open) != n {
		t.Errorf("%d opened of %d", len(open), n)
	}
	b.check(cmd.Process.Signal(syscall.SIGINT))
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGINT: %v", err)
	}
	pipe := exec.CommandContext(ctx, "sh", "-c", filepath.Join(programs, "linecrypt")+" sessions --watch --name "+b.a.Name+`; echo "status $?" >&2) | true`)
	pipe.Args[2] = "(" + pipe.Args[2]
	pipe.Env = append(b.top.Env(), "PATH="+os.Getenv("PATH"))
	var errs strings.Builder
	pipe.Stderr = &errs
	if err := pipe.Run(); err != nil || !strings.Contains(errs.String(), "status 0") {
		t.Errorf("with nobody to read: %v, %s", err, errs.String())
	}
}
