// Package usage turns the table of commands into what people read and press Tab for: man pages, and completion for bash, zsh and fish. The
// table of configuration keys becomes a man page likewise.
//
// It knows commands only by what a Program holds, which package cli fills from the tables that its help texts come from, so that a new
// command or key is in all of them. It reads and writes no file.
package usage
