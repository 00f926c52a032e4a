package cli

import (
	"errors"
	"io/fs"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/flowtable"
)

// idTable is where session IDs are looked up.
type idTable interface {
	Lookup(key *flowtable.Key, e *sessiontable.Entry) bool
}

// noIDs stands for the table while there is none: no control plane has been there yet.
type noIDs struct{}

func (noIDs) Lookup(*flowtable.Key, *sessiontable.Entry) bool { return false }

// published returns what is published of the connection, false if the table has nothing. An entry of an earlier connection between
// the same ports does not count.
func (c *connection) published(ids idTable) (e sessiontable.Entry, ok bool) {
	if !ids.Lookup(&c.key, &e) || e.Worker != c.ref.Worker || e.Index != c.ref.Index || e.Gen != c.ref.Gen {
		return sessiontable.Entry{}, false
	}
	return e, true
}

// openSessionIDs maps the session table of an instance, and returns how to give it up.
func openSessionIDs(in *instance.Instance) (idTable, func(), error) {
	t, err := sessiontable.Open(in.SessionTablePath())
	if errors.Is(err, fs.ErrNotExist) {
		return noIDs{}, func() {}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return t, func() { _ = t.Close() }, nil
}
