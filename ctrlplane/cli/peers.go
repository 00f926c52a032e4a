package cli

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/peering"
)

// peersTimeout is how long `peers` waits for the control plane, and maxPeersAnswer how much it takes, in bytes.
const (
	peersTimeout   = 5 * time.Second
	maxPeersAnswer = 1 << 20
)

var peersCommand = command{
	name:    "peers",
	args:    "[--json] [--name NAME]",
	summary: "gateways that compare session IDs with a running one",
	details: "Lists the peers of a running instance, whether its control plane is connected with theirs, or why not, and how many of the\nsessions with hosts behind them are authenticated.",
	define: func(a *App, fs *flag.FlagSet) func() error {
		look := addLookFlags(fs)
		return func() error { return a.peers(look) }
	},
}

func (a *App) peers(look lookFlags) error {
	in, err := instance.Find(*look.name)
	if err != nil {
		return err
	}
	if _, ok := in.Running(instance.ControlPlane); !ok {
		return fmt.Errorf("instance %q has no control plane just now, and so no connection with peers", *look.name)
	}
	list, err := requestPeers(in)
	if err != nil {
		return fmt.Errorf("instance %q: the control plane does not answer: %w", *look.name, err)
	}
	if *look.json {
		return printJSON(a.Stdout, list)
	}
	return printPeers(a.Stdout, list)
}

func requestPeers(in *instance.Instance) ([]peering.Status, error) {
	answer, err := controlClient(in, peersTimeout).Get("http://control/peers")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New(answer.Status)
	}
	list := []peering.Status{}
	return list, json.NewDecoder(io.LimitReader(answer.Body, maxPeersAnswer)).Decode(&list)
}

func printPeers(out io.Writer, list []peering.Status) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(out, "no peers are listed in the configuration")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PEER\tADDRESS\tSESSIONS\tAUTHENTICATED\tCONNECTION")
	for i := range list {
		p := &list[i]
		state := "none: " + p.Why
		if p.Connected {
			state = "since " + p.Since.UTC().Format(time.DateTime)
		}
		address := p.Address
		if address == "" {
			address = "dials"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\n", p.Name, address, p.Sessions, p.Authenticated, state)
	}
	return w.Flush()
}
