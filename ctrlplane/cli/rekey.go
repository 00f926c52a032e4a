package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"linecrypt/ctrlplane/human"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/server"
)

var rekeyCommand = command{
	name:    "rekey",
	args:    "CLIENT SERVER | SESSION-ID | --all [--wait DURATION] [--json] [--name NAME]",
	summary: "have connections of a running gateway change keys now",
	details: `Has a connection change its keys, both ways, and waits until the far end has shown that it has followed (RFC 8548 section 3.8): an
answer that nobody else can give. The connection is named as 'linecrypt sessions' prints it: by both ends, address:port, or by the
beginning of its session ID.`,
	takes: 2,
	fewer: true,
	define: func(a *App, fs *flag.FlagSet) func() error {
		look := addLookFlags(fs)
		all := fs.Bool("all", false, "rekey every encrypted connection")
		wait := fs.Duration("wait", 5*time.Second, "wait at most this `DURATION` for far ends, up to "+server.MaxRekeyWait.String()+" (default 5s)")
		return func() error {
			q := &server.RekeyRequest{Connection: fs.Args(), All: *all, Wait: *wait}
			switch {
			case *all == (fs.NArg() > 0):
				return &usageError{"rekey", errors.New("want the two ends of a connection, a session ID or --all")}
			case *wait < 0 || *wait > server.MaxRekeyWait:
				return &usageError{"rekey", fmt.Errorf("--wait %v is not 0 to %v", *wait, server.MaxRekeyWait)}
			}
			return a.rekey(*look.name, q, *look.json)
		}
	},
}

func (a *App) rekey(name string, q *server.RekeyRequest, asJSON bool) error {
	in, err := instance.Find(name)
	if err != nil {
		return err
	}
	if _, ok := in.Running(instance.ControlPlane); !ok {
		return fmt.Errorf("instance %q has no control plane just now, so that nobody takes orders; its connections go on and change keys as configured", name)
	}
	r := new(server.Rekeying)
	if err := post(in, "/rekey", q, r, q.Wait+reloadTimeout); err != nil {
		return fmt.Errorf("instance %q: the control plane does not answer: %w", name, err)
	}
	if r.Error != "" {
		return errors.New(r.Error)
	}
	if asJSON {
		err = printJSON(a.Stdout, r)
	} else {
		printRekeying(a.Stdout, r, q.All)
	}
	if err == nil && r.Failed > 0 {
		err = fmt.Errorf("%d of %d connections did not change keys", r.Failed, r.Failed+r.Done)
	}
	return err
}

// rekeySays is how an outcome reads.
var rekeySays = map[server.RekeyOutcome]string{
	server.RekeyUnanswered: "the gateway has changed its key; the far end has not followed yet",
	server.RekeyPending:    "the far end has not followed the last change yet; there is one at a time",
	server.RekeyEnding:     "an end has sent the last of its stream; keys are not changed any more",
	server.RekeyRefused:    "the data plane has not begun; 'linecrypt status' may say why",
	server.RekeyGone:       "the connection has ended",
}

func printRekeying(out io.Writer, r *server.Rekeying, all bool) {
	for i := range r.Connections {
		c := &r.Connections[i]
		says := rekeySays[c.Outcome]
		if c.Outcome == server.RekeyDone {
			says = fmt.Sprintf("the far end has followed after %v", time.Duration(c.Took).Round(10*time.Microsecond))
		}
		fmt.Fprintf(out, "%s %s: sealed under key generation %d, opened under %d: %s\n", c.Client, c.Server, c.Sealed, c.Opened, says)
	}
	if all {
		fmt.Fprintf(out, "%s changed keys, %d did not\n", human.Plural(r.Done, "connection"), r.Failed)
	}
}
