package cli

import (
	"errors"
	"flag"
	"fmt"

	"linecrypt/ctrlplane/config"
)

var configCommand = command{
	name:    "config",
	args:    "--example | --markdown | --check FILE",
	summary: "example, reference and check of configuration files",
	details: "Prints a configuration file that holds every key with its default, or the reference of all keys, or checks a file\nagainst this machine, as far as that is possible without opening its ports.",
	define:  defineConfig,
}

func defineConfig(a *App, fs *flag.FlagSet) func() error {
	example := fs.Bool("example", false, "print a configuration file with all defaults")
	markdown := fs.Bool("markdown", false, "print the reference of all keys as a Markdown table")
	check := fs.String("check", "", "check `FILE` and print what is wrong with it")
	return func() error {
		n := 0
		for _, given := range []bool{*example, *markdown, *check != ""} {
			if given {
				n++
			}
		}
		if n != 1 {
			return &usageError{"config", errors.New("want one of --example, --markdown and --check FILE")}
		}
		switch {
		case *example:
			fmt.Fprint(a.Stdout, config.Example())
		case *markdown:
			fmt.Fprint(a.Stdout, config.Markdown())
		default:
			c, err := config.Load(*check)
			if err != nil {
				return err
			}
			if err := checkMachine(c); err != nil {
				return err
			}
			fmt.Fprintf(a.Stdout, "%s: no errors\n", *check)
		}
		return nil
	}
}
