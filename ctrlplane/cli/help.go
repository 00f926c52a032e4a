package cli

import (
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
)

const introSentence = "Linecrypt encrypts the TCP connections that pass through it (tcpcrypt, RFC 8548)."

const intro = introSentence + `

Usage: linecrypt COMMAND [FLAGS]

`

// help prints the list of commands, or what one command takes.
func (a *App) help(args []string) error {
	if len(args) > 0 {
		c, rest := match(args)
		if c == nil || len(rest) > 0 {
			return &usageError{err: unknownCommand(args)}
		}
		return a.helpOn(c)
	}
	fmt.Fprint(a.Stdout, intro)
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 3, ' ', 0)
	for _, c := range commands() {
		fmt.Fprintf(w, "  %s\t%s\n", c.name, c.summary)
	}
	fmt.Fprintf(w, "  help [COMMAND]\tthis list, or the flags of a command\n")
	return w.Flush()
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
