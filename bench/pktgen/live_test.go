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

// watch reads what comes out of a terminal until it ends, which it then returns, and closes the channel of each pattern that has come.
func watch(far *os.File, patterns map[string]chan struct{}) (all chan string) {
	all = make(chan string, 1)
	go func() {
		var text strings.Builder
		buf := make([]byte, 4096)
		for {
			n, err := far.Read(buf)
			text.Write(buf[:n])
			for p, came := range patterns {
				if regexp.MustCompile(p).MatchString(text.String()) {
					close(came)
					delete(patterns, p)
				}
			}
			if err != nil { // nobody has the other end open any more
				all <- text.String()
				return
			}
		}
	}()
	return all
}

func TestATerminalSeesALiveLineAndASearchHasAProgressBar(t *testing.T) {
	far, end := terminal(t)
	searching, measuring := make(chan struct{}), make(chan struct{})
	seen := watch(far, map[string]chan struct{}{
		`\rsearching \[[#.]{24}\] trial 1 of about \d+: \d+\.\d{3} Mpps`:                       searching,
		`\rmeasuring: \d+\.\d{3} Mpps, \d+\.\d\d Gbit/s, \d+ dropped, 0 wrong, \d+\.\d s left`: measuring,
	})
	l := newLive(end)
	if !l.on {
		t.Fatal("a terminal is not taken for one")
	}
	for _, tt := range []struct {
		sc   *scenario.Scenario
		came chan struct{}
	}{
		{short(t, "loss-free", "traffic.flows=50"), searching},
		{short(t, "seal-512", "traffic.flows=50", "time.duration=10m"), measuring},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		go func() {
			select {
			case <-tt.came:
				cancel()
			case <-ctx.Done():
			}
		}()
		_, err := Run(ctx, tt.sc, l)
		if cancel(); err != nil {
			t.Fatal(err)
		}
	}
	end.Close()
	text := <-seen
	for _, came := range []chan struct{}{searching, measuring} {
		select {
		case <-came:
		default:
			t.Errorf("not everything is told: %q", text)
		}
	}
	if strings.Contains(text, "\n") || !strings.HasSuffix(text, " \r") {
		t.Errorf("the line is not rewritten in place and removed at the end: %q", text)
	}
}

func TestALineIsNoWiderThanTheTerminal(t *testing.T) {
	far, end := terminal(t)
	if err := unix.IoctlSetWinsize(int(far.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 40}); err != nil {
		t.Fatal(err)
	}
	seen := watch(far, nil)
	l := newLive(end)
	l.prefix = "round 1 of 25, 1 of 2 cores, queues own: "
	l.say("measuring: %.3f Mpps", 1.5)
	l.clear()
	end.Close()
	text := <-seen
	for line := range strings.SplitSeq(text, "\r") {
		if len(line) > 39 {
			t.Errorf("%d characters go on in a further line, which nothing takes back: %q", len(line), line)
		}
	}
	if !strings.Contains(text, "round 1 of 25, 1 of 2 cores") {
		t.Errorf("%q", text)
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
