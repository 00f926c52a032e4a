package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/spelling"
)

// Exit statuses of the command.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// App is what the command needs of the process it runs in.
type App struct {
	Stdout io.Writer
	Stderr io.Writer
	// BinDir is where `run` looks for the two processes before it looks along PATH.
	BinDir string
	// Hugepages serves `setup hugepages`.
	Hugepages Hugepages
	// BenchCrypto serves `bench crypto`.
	BenchCrypto Bench
	// Scenarios serves `bench run` and `bench list`.
	Scenarios Scenarios
}

// command is a subcommand. Its name may be two words.
type command struct {
	name    string
	args    string // as in the usage line
	summary string
	details string
	takes   int  // arguments behind the flags
	fewer   bool // or fewer of them: the command says itself what it wants
	starts  bool // an instance, and does not ask one that runs
	// define adds the command's flags to fs and returns what to do once they are parsed.
	define func(a *App, fs *flag.FlagSet) func() error
}

func commands() []command {
	return []command{
		runCommand, hostCommand, reloadCommand, flushCommand, stopCommand,
		sessionsCommand, policyCommand, rekeyCommand, traceCommand, statusCommand, topCommand, peersCommand,
		configCommand, keyGenerateCommand, keyShowCommand, hugepagesCommand, setupNICCommand,
		benchCryptoCommand, benchRunCommand, benchListCommand,
		completionCommand(), manualCommand(), versionCommand,
	}
}

// usageError is a command line that makes no sense.
type usageError struct {
	command string // empty when no command was recognised
	err     error
}

func (e *usageError) Error() string {
	if e.command == "" {
		return "linecrypt: " + e.err.Error() + "\nRun 'linecrypt help' for the commands."
	}
	return fmt.Sprintf("linecrypt %s: %v\nRun 'linecrypt help %s' for its flags.", e.command, e.err, e.command)
}

func (e *usageError) Unwrap() error { return e.err }

// Main runs the command line args, without the program's name, and returns the exit status: 0 for success, 1 for a
// failure, 2 for a command line that makes no sense.
func (a *App) Main(args []string) int {
	err := a.dispatch(args)
	var usage *usageError
	var conf *config.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintln(a.Stderr, err)
		tellFailure(err)
		return exitUsage
	case errors.As(err, &conf):
		// Such an error begins with file and line, where an editor looks for them.
		fmt.Fprintln(a.Stderr, err)
	default:
		fmt.Fprintln(a.Stderr, "linecrypt:", err)
	}
	tellFailure(err)
	if wrong := (*configurationError)(nil); managed() && errors.As(err, &wrong) {
		return exitConfiguration
	}
	return exitFailure
}

func (a *App) dispatch(args []string) error {
	if len(args) == 0 {
		return &usageError{err: errors.New("no command is given")}
	}
	if asksForHelp(args[0]) {
		return a.help(args[1:])
	}
	if len(args) == 2 && asksForHelp(args[1]) && len(group(args[0])) > 0 {
		return a.help(args[:1])
	}
	if args[0] == "--version" || args[0] == "-version" {
		args = append([]string{versionCommand.name}, args[1:]...)
	}
	c, rest := match(args)
	if args[0] == guardianCommand.name {
		c, rest = &guardianCommand, args[1:]
	}
	if c == nil {
		return &usageError{err: unknownCommand(args)}
	}
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	body := c.define(a, fs)
	if err := parse(fs, rest, c.takes > 0); errors.Is(err, flag.ErrHelp) {
		return a.help(strings.Fields(c.name))
	} else if err != nil {
		return &usageError{c.name, suggestFlag(fs, err)}
	}
	if fs.NArg() > c.takes {
		return &usageError{c.name, fmt.Errorf("unexpected argument %q", fs.Arg(c.takes))}
	}
	if fs.NArg() < c.takes && !c.fewer {
		return &usageError{c.name, errors.New("an argument is missing")}
	}
	if f := fs.Lookup("name"); f != nil && !c.starts {
		if err := becomeOwner(f.Value.String()); err != nil {
			return err
		}
	}
	return body()
}

// parse parses flags, and with mixed also those behind arguments; fs.Args returns the arguments.
func parse(fs *flag.FlagSet, args []string, mixed bool) error {
	var others []string
	for {
		if err := fs.Parse(args); err != nil || !mixed {
			return err
		}
		if fs.NArg() == 0 {
			return fs.Parse(append([]string{"--"}, others...))
		}
		others = append(others, fs.Arg(0))
		args = fs.Args()[1:]
	}
}

// match returns the command that args begin with and what follows it.
func match(args []string) (*command, []string) {
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if len(args) >= len(words) && strings.Join(args[:len(words)], " ") == c.name {
			return &c, args[len(words):]
		}
	}
	return nil, nil
}

// unknownCommand says what is wrong with a command line that begins with no command, and which one may be meant.
func unknownCommand(args []string) error {
	known := []string{"help"}
	for _, c := range commands() {
		first, _, _ := strings.Cut(c.name, " ")
		known = append(known, first)
	}
	var seconds []string // second words of commands that begin with the first one given
	for _, c := range group(args[0]) {
		_, second, _ := strings.Cut(c.name, " ")
		seconds = append(seconds, second)
	}
	if len(seconds) > 0 {
		meant := ""
		if len(args) > 1 {
			meant = didYouMean(spelling.Nearest(args[1], seconds))
		}
		return fmt.Errorf("%s: want %q%s", strings.Join(args[:min(2, len(args))], " "), args[0]+" "+strings.Join(seconds, "|"), meant)
	}
	return fmt.Errorf("unknown command %q%s", args[0], didYouMean(spelling.Nearest(args[0], known)))
}

func didYouMean(word string) string {
	if word == "" {
		return ""
	}
	return "; did you mean " + word + "?"
}

// suggestFlag adds the flag that may be meant to an error about one that does not exist.
func suggestFlag(fs *flag.FlagSet, err error) error {
	name, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !unknown {
		return err
	}
	var known []string
	fs.VisitAll(func(f *flag.Flag) { known = append(known, f.Name) })
	meant := spelling.Nearest(name, known)
	if meant != "" {
		meant = "--" + meant
	}
	return fmt.Errorf("unknown flag --%s%s", name, didYouMean(meant))
}
