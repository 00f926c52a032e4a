package usage

import (
	"flag"
	"regexp"
	"strings"
)

// Program is a command with subcommands.
type Program struct {
	Name     string
	Summary  string // half a sentence
	Intro    string // a paragraph
	Version  string
	Date     string // of the version, as 2006-01-02; empty where it is not known
	Commands []Command
	Keys     []Key
}

// Command is a subcommand.
type Command struct {
	Name    string // one word or two
	Args    string // as in the usage line
	Summary string
	Details string // lines; those that begin with a space are shown as they are
	Flags   []Flag
}

// Flag is a flag of a command.
type Flag struct {
	Name  string
	Value string // the word that stands for its value: FILE, NAME, PORT, KEY=VALUE or another one; empty for a switch
	Usage string
}

// Key is a key of the configuration file.
type Key struct {
	Name    string
	Type    string
	Default string // empty for none
	Allowed string
	Help    string
}

// Flags returns the flags of a set in the order of their names.
func Flags(fs *flag.FlagSet) []Flag {
	var flags []Flag
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		flags = append(flags, Flag{f.Name, value, usage})
	})
	return flags
}

// choice is an argument that is one of a few words.
var choice = regexp.MustCompile(`^[a-z]+(\|[a-z]+)+$`)

// words returns what the command's first argument may be where that is one of a few words.
func (c *Command) words() []string {
	first, _, _ := strings.Cut(c.Args, " ")
	if !choice.MatchString(first) {
		return nil
	}
	return strings.Split(first, "|")
}

// setsKeys reports whether --set takes keys of the configuration, and not of something else.
func (c *Command) setsKeys() bool {
	var config, set bool
	for _, f := range c.Flags {
		config, set = config || f.Name == "config", set || f.Name == "set"
	}
	return config && set
}

// firstWords returns each command's first word once, with the summary where that is the whole name.
func (p *Program) firstWords() []Command {
	var firsts []Command
	seen := map[string]bool{}
	for _, c := range append(p.Commands, Command{Name: "help", Summary: "the list of commands, or the flags of a command"}) {
		first, _, two := strings.Cut(c.Name, " ")
		if seen[first] {
			continue
		}
		seen[first] = true
		if two {
			c.Summary = strings.Join(p.secondWords(first), ", ")
		}
		firsts = append(firsts, Command{Name: first, Summary: c.Summary})
	}
	return firsts
}

// secondWords returns the second words of the commands that begin with first.
func (p *Program) secondWords(first string) []string {
	var seconds []string
	for _, c := range p.Commands {
		if f, s, two := strings.Cut(c.Name, " "); two && f == first {
			seconds = append(seconds, s)
		}
	}
	return seconds
}
