package cli

import (
	"errors"
	"io/fs"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/sessiontable"
)

// openSessionIDs maps the session table of an instance, and returns how to give it up. While no control plane has been there yet there is none.
func openSessionIDs(in *instance.Instance) (connections.IDs, func(), error) {
	t, err := sessiontable.Open(in.SessionTablePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, func() {}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return t, func() { _ = t.Close() }, nil
}
