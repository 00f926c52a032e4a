package session

import "errors"

// What is the matter with a connection. Errors of this package wrap one of these, or are of the arguments.
var (
	ErrNotEncrypted = errors.New("the connection is not encrypted")
	ErrNotConnected = errors.New("the connection is not set up yet")
	ErrUnknown      = errors.New("no gateway knows the connection")
	ErrNotAllowed   = errors.New("not allowed to look sessions up")
	ErrAmbiguous    = errors.New("several connections have these addresses")
	// ErrUnavailable is wrapped beside ErrUnknown where an instance could know more and cannot be asked: its control plane does not
	// answer, or its session table is damaged.
	ErrUnavailable = errors.New("a gateway cannot tell")
)
