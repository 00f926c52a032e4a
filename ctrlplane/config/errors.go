package config

import "linecrypt/ctrlplane/config/keyfile"

// Position is where a key was set: a line of a file, or the command line (Line 0). The zero value is a default.
type Position = keyfile.Position

// Error is one thing wrong with a configuration.
type Error = keyfile.Error

// Err returns an *Error that says that the value of the key is refused, with the place where it was set. It is for values
// that only their owner can check, for example an interface that does not exist.
func (c *Config) Err(name string, reason error) error {
	return &Error{Position: c.Pos(name), Key: name, Reason: reason}
}
