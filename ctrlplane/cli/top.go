package cli

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/top"
)

var topCommand = command{
	name:    "top",
	args:    "[--once] [--name NAME]",
	summary: "what a running gateway does, live, core by core",
	details: `Shows once a second what a running instance does: how much is encrypted, what is lost, the load of each worker (the share of its time
that it works, also of workers that sleep), the cycles of a packet by stage, and the connections that carry most. s sorts connections otherwise,
p holds the screen, arrows move, q ends. --once prints one screen after a second, as does an output that is no terminal, or a dumb one.`,
	define: func(a *App, fs *flag.FlagSet) func() error {
		name := addNameFlag(fs)
		once := fs.Bool("once", false, "print one screen, after a second, and end")
		return func() error {
			look := lookFlags{name: name}
			return look.with(func(in *instance.Instance, s *shm.Segment) error { return a.top(in, s, *once) })
		}
	},
}

// errEnded means that the gateway that was looked at has ended.
var errEnded = errors.New("the gateway has ended")

func (a *App) top(in *instance.Instance, s *shm.Segment, once bool) error {
	ids, done, err := openSessionIDs(in)
	if err != nil {
		return err
	}
	defer done()
	reader := top.NewReader(s, ids)
	next := func() (top.Frame, error) {
		if !s.Current() {
			return top.Frame{}, errEnded
		}
		st := Status{Ready: s.Ready(), KeyLog: in.KeyLog(), DataPlane: processState(s.DataPlane(), s.DataPlaneRuns(), s.DataPlaneAnswers()),
			ControlPlane: processState(s.ControlPlane(), s.ControlPlaneRuns(), s.ControlPlaneAnswers())}
		r := counterReader{seg: s, table: s.Counters()}
		st.Ports = []PortStatus{r.port(0, s.Inside()), r.port(1, s.Outside())}
		return reader.Frame(st.wrong())
	}
	out, terminal := a.Stdout.(*os.File)
	if terminal = terminal && term.IsTerminal(int(out.Fd())) && term.IsTerminal(int(os.Stdin.Fd())) && moves(os.Getenv("TERM")); once || !terminal {
		time.Sleep(top.Interval)
		f, err := next()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.Stdout, top.Screen(f, 100, 40))
		return err
	}
	time.Sleep(100 * time.Millisecond) // for the first rates
	_, err = tea.NewProgram(top.New(next, os.Getenv("NO_COLOR") == ""), tea.WithOutput(out)).Run()
	return err
}

// moves reports whether a terminal of a type, as TERM names it, does more than print.
func moves(kind string) bool { return kind != "" && kind != "dumb" }
