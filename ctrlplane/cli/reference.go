package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"linecrypt/ctrlplane/cli/usage"
	"linecrypt/ctrlplane/config"
)

// completionCommand and manualCommand describe all commands, themselves among them, so they are made when they are asked for.
func completionCommand() command {
	return command{
		name:    "completion",
		args:    strings.Join(usage.Shells(), "|"),
		summary: "print what makes a shell complete this command's line",
		details: `Prints a script for bash, zsh or fish. Debian packages install it; from elsewhere:

  source <(linecrypt completion bash)
  linecrypt completion zsh > "${fpath[1]}/_linecrypt"
  linecrypt completion fish > ~/.config/fish/completions/linecrypt.fish`,
		takes: 1,
		define: func(a *App, fs *flag.FlagSet) func() error {
			return func() error {
				script, err := a.reference().Completion(fs.Arg(0))
				if err != nil {
					return &usageError{"completion", fmt.Errorf("%w: want %s", err, strings.Join(usage.Shells(), ", "))}
				}
				_, err = io.WriteString(a.Stdout, script)
				return err
			}
		},
	}
}

func manualCommand() command {
	return command{
		name:    "manual",
		args:    "[PAGE | --write DIR]",
		summary: "print the man pages, which are made from these help texts",
		details: `Prints the names of the man pages, or one of them as it is (linecrypt manual linecrypt.1 | man -l -), or writes all into a folder. The
Debian packages have them.`,
		takes: 1,
		fewer: true,
		define: func(a *App, fs *flag.FlagSet) func() error {
			dir := fs.String("write", "", "write all pages into the folder `DIR`")
			return func() error { return a.manual(fs.Arg(0), *dir) }
		},
	}
}

func (a *App) manual(page, dir string) error {
	if page != "" && dir != "" {
		return &usageError{"manual", errors.New("a page and --write exclude each other")}
	}
	var names []string
	for _, p := range a.reference().Pages() {
		switch {
		case dir != "":
			if err := os.WriteFile(filepath.Join(dir, p.Name), []byte(p.Text), 0o644); err != nil {
				return err
			}
		case page == p.Name:
			_, err := io.WriteString(a.Stdout, p.Text)
			return err
		}
		names = append(names, p.Name)
	}
	switch {
	case page != "":
		return &usageError{"manual", fmt.Errorf("there is no page %q; there are: %s", page, strings.Join(names, ", "))}
	case dir == "":
		fmt.Fprintln(a.Stdout, strings.Join(names, "\n"))
	}
	return nil
}

// reference is the tables of commands and keys for man pages and shells.
func (a *App) reference() *usage.Program {
	p := &usage.Program{Name: "linecrypt", Summary: "encrypt the TCP connections that pass through this machine", Intro: introSentence +
		" It runs as a bump in the wire between hosts and a network; nothing is installed or configured on the hosts."}
	if info, ok := debug.ReadBuildInfo(); ok {
		p.Version = strings.TrimSuffix(info.Main.Version, "(devel)")
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				p.Date, _, _ = strings.Cut(s.Value, "T")
			}
		}
	}
	for _, c := range commands() {
		fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
		c.define(a, fs)
		p.Commands = append(p.Commands, usage.Command{Name: c.name, Args: c.args, Summary: c.summary, Details: c.details, Flags: usage.Flags(fs)})
	}
	for _, k := range config.Keys() {
		p.Keys = append(p.Keys, usage.Key{Name: k.Name, Type: k.Type(), Default: k.Default, Allowed: k.Allowed(), Help: k.Help})
	}
	return p
}
