package keyfile

import "fmt"

// Position is where a key was set: a line of a file, or the command line (Line 0). The zero value is a default.
type Position struct {
	File string
	Line int
}

// String returns "file:line", the file alone without a line, or "default".
func (p Position) String() string {
	switch {
	case p.File == "":
		return "default"
	case p.Line == 0:
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Error is one thing wrong with a configuration.
type Error struct {
	Position Position
	Key      string // dotted name, empty when the error is about the file itself
	Reason   error
}

// Error returns "file:line: key: reason".
func (e *Error) Error() string {
	s := e.Reason.Error()
	if e.Key != "" {
		s = e.Key + ": " + s
	}
	if e.Position.File != "" {
		s = e.Position.String() + ": " + s
	}
	return s
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }
