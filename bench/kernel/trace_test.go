package kernel

import (
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"linecrypt/bench/topology"
)

func TestTracePrintsWhatTheStationsDidWithTheNextPackets(t *testing.T) {
	b := gateways(t, topology.Packet)
	client, srv := b.mustConnect(ipv4)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	trace := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, filepath.Join(programs, "linecrypt"), append([]string{"trace", "--name", b.a.Name}, args...)...)
		cmd.Env = b.top.Env()
		done := make(chan struct{})
		go func() { // until the trace has had its packets
			buf := make([]byte, 100)
			for ctx.Err() == nil {
				select {
				case <-done:
					return
				case <-time.After(20 * time.Millisecond):
				}
				_, _ = client.Write(buf)
				_, _ = srv.Read(buf)
			}
		}()
		out, err := cmd.CombinedOutput()
		close(done)
		return string(out), err
	}
	out, err := trace("--packets", "6", client.LocalAddr().String(), client.RemoteAddr().String())
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		`(?m)^packet 6, worker 0, `,
		`(?m)^  rx +inside +` + regexp.QuoteMeta(client.LocalAddr().String()+" > "+client.RemoteAddr().String()) + ` \[P\.\] .*100 bytes of data, timestamps$`,
		`(?m)^  verdict +flow \d+ is encrypted; opportunistic by rule default$`,
		`(?m)^  seal +101 bytes of plaintext$`,
		`(?m)^  translate +to outside +\[P\.\].* 120 bytes$`,
		`(?m)^  tx +outside .*120 bytes of data`,
		`(?m)^  count +sealed_frames \+1$`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("nothing like %s in\n%s", want, out)
		}
	}
	if out, err := trace("--packets", "1", "nobody"); err == nil || !strings.Contains(out, `"nobody" is no address`) {
		t.Errorf("an end that is none: %v, %s", err, out)
	}
}
