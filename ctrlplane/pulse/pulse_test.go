package pulse

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"linecrypt/ctrlplane/shm"
)

func TestDataPlaneStandsStillWhenItSaysNothingAndWantsNothing(t *testing.T) {
	type look struct {
		after time.Duration
		beat  int64
		cpu   uint64
		wants bool
	}
	repeat := func(n int, l look) (all []look) {
		for range n {
			all = append(all, l)
		}
		return all
	}
	const every, missedBeats, lookTicks = 100 * time.Millisecond, looks, 10
	runs := func(n int, ticks uint64) []look {
		all := []look{{every, 5, 1, true}}
		for i := range n {
			all = append(all, look{every, 5, 1 + uint64(i+1)*ticks, true})
		}
		return all
	}
	for name, c := range map[string]struct {
		looks []look
		want  bool
	}{
		"beats": {[]look{{every, 1, 1, false}, {every, 2, 1, false}, {every, 3, 1, false}, {every, 4, 1, false}, {every, 5, 1, false},
			{every, 6, 1, false}, {every, 7, 1, false}, {every, 8, 1, false}}, false},
		"stopped":                          {append([]look{{every, 5, 1, false}}, repeat(missedBeats, look{every, 5, 1, false})...), true},
		"says nothing, but not for long":   {append([]look{{every, 5, 1, false}}, repeat(missedBeats-1, look{every, 5, 1, false})...), false},
		"works on, but says nothing":       {runs(missedBeats, lookTicks), true},
		"gets a core now and then":         {runs(3*missedBeats, 1), false},
		"waits for a core":                 {append([]look{{every, 5, 1, true}}, repeat(3*missedBeats, look{every, 5, 1, true})...), false},
		"the looks themselves are delayed": {append([]look{{every, 5, 1, false}}, repeat(3*missedBeats, look{10 * every, 5, 1, false})...), false},
	} {
		t.Run(name, func(t *testing.T) {
			var p pulse
			now, got := time.Now(), false
			for _, l := range c.looks {
				now = now.Add(l.after)
				got = p.stands(now, l.beat, every, func() (uint64, bool) { return l.cpu, l.wants }) || got
			}
			if got != c.want {
				t.Errorf("stands still: %v, want %v", got, c.want)
			}
		})
	}
}

func TestStoppedProcessWantsNoCore(t *testing.T) {
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	any := func(string) bool { return true }
	if ticks, wants := working(os.Getpid(), any); !wants {
		t.Errorf("this process has had %d ticks and wants nothing", ticks)
	}
	if ticks, wants := working(os.Getpid(), shm.IsWorkerThread); ticks != 0 || wants {
		t.Errorf("workers that this process does not have have had %d ticks, or want some: %v", ticks, wants)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, wants := working(cmd.Process.Pid, any); !wants {
			return
		}
		if time.Now().After(end) {
			t.Fatal("a process that was stopped is taken for one that wants a core")
		}
	}
}

func TestStatOfAThreadIsReadWhateverItsName(t *testing.T) {
	const rest = " 1 1 1 0 -1 4194368 99 0 0 0 7 5 0 0 20 0 4 0 100"
	for text, want := range map[string]struct {
		name, state string
		ticks       uint64
		ok          bool
	}{
		"7 (worker 0) D" + rest: {"worker 0", "D", 12, true},
		"7 (a) R (b) S" + rest:  {"a) R (b", "S", 12, true},
		"7 (worker 0) R 1 1":    {},
		"7 worker 0 R" + rest:   {},
		")(":                    {},
		"":                      {},
	} {
		name, state, ticks, ok := threadStat([]byte(text))
		if ok != want.ok || ok && (name != want.name || state != want.state || ticks != want.ticks) {
			t.Errorf("%q: %q %q %d %v", text, name, state, ticks, ok)
		}
	}
}
