package cli

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

const introSentence = "Linecrypt encrypts the TCP connections that pass through it (tcpcrypt, RFC 8548)."

const intro = introSentence + `

Usage: linecrypt COMMAND [FLAGS]

`

// help prints the list of commands, or of those that begin with a word, or what one command takes.
func (a *App) help(args []string) error {
	if len(args) == 1 {
		if cs := group(args[0]); len(cs) > 0 {
			fmt.Fprintf(a.Stdout, "Usage: linecrypt %s COMMAND [FLAGS]\n\n", args[0])
			return list(a.Stdout, cs, "help "+args[0]+" COMMAND", "the flags of a command")
		}
	}
	if len(args) > 0 && !asksForHelp(args[0]) {
		c, rest := match(args)
		if c == nil {
			return &usageError{err: unknownCommand(args)}
		}
		if len(rest) > 0 {
			return &usageError{c.name, fmt.Errorf("help takes a command alone, without %q", rest[0])}
		}
		return a.helpOn(c)
	}
	fmt.Fprint(a.Stdout, intro)
	return list(a.Stdout, commands(), "help [COMMAND]", "this list, or the flags of a command")
}

// group returns the commands of two words that begin with word.
func group(word string) (cs []command) {
	for _, c := range commands() {
		if first, _, two := strings.Cut(c.name, " "); two && first == word {
			cs = append(cs, c)
		}
	}
	return cs
}

// list prints commands, and last how to be told more.
func list(out io.Writer, cs []command, more, what string) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, c := range cs {
		fmt.Fprintf(w, "  %s\t%s\n", c.name, c.summary)
	}
	fmt.Fprintf(w, "  %s\t%s\n", more, what)
	return w.Flush()
}

// asksForHelp reports whether a word of a command line is one that asks for help.
func asksForHelp(word string) bool {
	return word == "help" || word == "-h" || word == "--help" || word == "-help"
}

func (a *App) helpOn(c *command) error {
	fmt.Fprintf(a.Stdout, "Usage: linecrypt %s", c.name)
	if c.args != "" {
		fmt.Fprint(a.Stdout, " ", c.args)
	}
	fmt.Fprintf(a.Stdout, "\n\n%s\n", c.details)
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	c.define(a, fs)
	return printFlags(a.Stdout, fs)
}

func printFlags(out io.Writer, fs *flag.FlagSet) error {
	first := true
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fs.VisitAll(func(f *flag.Flag) {
		if first {
			fmt.Fprint(w, "\nFlags:\n")
			first = false
		}
		value, usage := flag.UnquoteUsage(f)
		if value != "" {
			value = " " + value
		}
		fmt.Fprintf(w, "  --%s%s\t%s\n", f.Name, value, usage)
	})
	return w.Flush()
}
