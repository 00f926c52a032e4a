package cli

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/shm"
)

// Session is an element of what `sessions --json` prints.
type Session = connections.Connection

// sampleTime is how long the table's rates are measured.
const sampleTime = 250 * time.Millisecond

var sessionsCommand = command{
	name:    "sessions",
	args:    "[--plain | --refused] [--peer PREFIX] [--port N] [--sort ORDER] [--wide] [--json | --watch] [--name NAME]",
	summary: "connections of a running gateway: encrypted, in the clear, refused",
	details: `Lists the connections that a running instance encrypts, the oldest first, with their session IDs; --plain those that pass in the clear,
with the reason; --refused the latest ones that were refused or aborted while they were set up, a few of each network of far ends. It works
also while the control plane is away. A table fits 100 columns: session IDs and long names are shortened, and columns
that would say nothing are left out, unless --wide is given; --json has everything. Rates are measured for a quarter of a second, with --json
only where --sort rate asks for them. --watch prints a line of JSON for each connection, encrypted or in the clear, that there is, comes,
changes or goes, and for each that is refused, until it is interrupted.`,
	define: func(a *App, fs *flag.FlagSet) func() error {
		look := addLookFlags(fs)
		var q sessionsQuery
		watch := fs.Bool("watch", false, "print connections as they come, go and are refused, a line of JSON each")
		fs.BoolVar(&q.plain, "plain", false, "list the connections that pass in the clear, with the reason")
		fs.BoolVar(&q.refused, "refused", false, "list the latest connections that were refused, with the reason")
		fs.BoolVar(&q.wide, "wide", false, "shorten nothing")
		fs.StringVar(&q.order, "sort", "age", "sort by this `ORDER`: "+connections.Orders+" (default age)")
		peer := fs.String("peer", "", "only those whose far end's address is in this `PREFIX`")
		port := fs.Int("port", 0, "only those with port `N` at either end")
		return func() error {
			if given(fs, "port") && *port == 0 || given(fs, "peer") && *peer == "" {
				return &usageError{"sessions", errors.New("--port is 1 to 65535, and --peer an address or a prefix: leave them out for all connections")}
			}
			if *watch {
				if fs.NFlag() > 1 && (q.plain || q.refused || q.wide || *peer != "" || *port != 0 || q.order != "age") {
					return &usageError{"sessions", errors.New("--watch prints every connection: it takes no filter, and no other order")}
				}
				return a.watch(*look.name)
			}
			if err := q.read(*peer, *port); err != nil {
				return &usageError{"sessions", err}
			}
			if q.plain && q.refused {
				return &usageError{"sessions", errors.New("--plain and --refused are two lists: give one of them")}
			}
			q.json = *look.json
			return look.with(func(in *instance.Instance, s *shm.Segment) error { return a.sessions(in, s, &q) })
		}
	},
}

// sessionsQuery is what to list, and how.
type sessionsQuery struct {
	plain, refused, wide, json bool
	order                      string
	filter                     connections.Filter
}

func (q *sessionsQuery) read(peer string, port int) (err error) {
	if port < 0 || port > 65535 {
		return fmt.Errorf("--port %d is not 1 to 65535", port)
	}
	q.filter.Port = uint16(port)
	if peer != "" {
		if q.filter.Peer, err = connections.ParsePeer(peer); err != nil {
			return fmt.Errorf("--peer %w", err)
		}
	}
	if err := connections.Sort(nil, q.order); err != nil {
		return fmt.Errorf("--sort %w", err)
	}
	return nil
}

func (a *App) sessions(in *instance.Instance, s *shm.Segment, q *sessionsQuery) error {
	list, err := readSessions(in, s, q)
	if err != nil {
		return err
	}
	list = q.filter.Only(list)
	if err := connections.Sort(list, q.order); err != nil {
		return err
	}
	if q.json {
		return printJSON(a.Stdout, list)
	}
	if q.plain {
		return printPlain(a.Stdout, list, q.wide)
	}
	if q.refused {
		return printRefused(a.Stdout, list, q.wide)
	}
	return printSessions(a.Stdout, list, q.wide)
}

// readSessions lists connections, the oldest first, and measures their rates where somebody wants to see them. The list is never nil.
func readSessions(in *instance.Instance, s *shm.Segment, q *sessionsQuery) ([]Session, error) {
	if q.plain {
		return connections.ListPlain(s)
	}
	if q.refused {
		return connections.ListRefused(s), nil
	}
	ids, done, err := openSessionIDs(in)
	if err != nil {
		return nil, err
	}
	defer done()
	if q.json && q.order != "rate" {
		return connections.ListEncrypted(s, ids)
	}
	begin := time.Now()
	before, err := connections.ListEncrypted(s, nil)
	if err != nil {
		return nil, err
	}
	time.Sleep(sampleTime)
	list, err := connections.ListEncrypted(s, ids)
	connections.Measure(list, before, time.Since(begin))
	return list, err
}
