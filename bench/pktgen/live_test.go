package pktgen

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/bench/pktgen/scenario"
)

// terminal returns both ends of a pseudo-terminal.
func terminal(t *testing.T) (far, end *os.File) {
	t.Helper()
	far, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	t.Cleanup(func() { far.Close() })
	fd := int(far.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if end, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skipf("no pseudo-terminal: %v", err)
	}
	return far, end
}

func TestATerminalSeesALiveLineAndASearchHasAProgressBar(t *testing.T) {
	far, end := terminal(t)
	seen := make(chan string)
	go func() {
		var all strings.Builder
		buf := make([]byte, 4096)
		for {
			n, err := far.Read(buf)
			if all.Write(buf[:n]); err != nil { // once nobody has the other end open
				seen <- all.String()
				return
			}
		}
	}()
	l := newLive(end)
	if !l.on {
		t.Fatal("a terminal is not taken for one")
	}
	for _, sc := range []*scenario.Scenario{short(t, "loss-free", "traffic.flows=50"), short(t, "seal-512", "traffic.flows=50", "time.duration=10m")} {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_, err := Run(ctx, sc, l)
		if cancel(); err != nil {
			t.Fatal(err)
		}
	}
	end.Close()
	text := <-seen
	for _, want := range []string{
		`\rsearching \[[#.]{24}\] trial 1 of about \d+: \d+\.\d{3} Mpps`,
		`\rmeasuring: \d+\.\d{3} Mpps, \d+\.\d\d Gbit/s, \d+ dropped, 0 wrong, \d+\.\d s left`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no %s in %q", want, text)
		}
	}
	if strings.Contains(text, "\n") || !strings.HasSuffix(text, " \r") {
		t.Errorf("the line is not rewritten in place and removed at the end: %q", text)
	}
}

func TestWhatIsNoTerminalSeesNothing(t *testing.T) {
	path := t.TempDir() + "/progress"
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := newLive(f)
	l.say("searching %s", bar(1, 2))
	l.clear()
	if b, err := os.ReadFile(path); err != nil || len(b) > 0 || l.on {
		t.Errorf("%q, %v", b, err)
	}
}

func TestABarIsAsFullAsWhatIsDone(t *testing.T) {
	for _, tt := range []struct{ done, total, full int }{{0, 8, 0}, {4, 8, 12}, {8, 8, 24}, {9, 8, 24}, {0, 0, 0}} {
		if got := bar(tt.done, tt.total); got != "["+strings.Repeat("#", tt.full)+strings.Repeat(".", 24-tt.full)+"]" {
			t.Errorf("%d of %d: %s", tt.done, tt.total, got)
		}
	}
}
