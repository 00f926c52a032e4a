package cli

import (
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
)

var versionCommand = command{
	name:    "version",
	summary: "what this build is",
	details: "Prints the version of the module, the commit where it is known, the Go version, and whether DPDK is compiled in.",
	define: func(a *App, _ *flag.FlagSet) func() error {
		return func() error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				info = &debug.BuildInfo{}
			}
			return printVersion(a.Stdout, info)
		}
	},
}

func printVersion(out io.Writer, info *debug.BuildInfo) error {
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	commit := or(settings["vcs.revision"], "unknown")
	if settings["vcs.modified"] == "true" {
		commit += " with changes"
	}
	dpdk := "not compiled in (build tag dpdk)"
	if slices.Contains(strings.Split(settings["-tags"], ","), "dpdk") {
		dpdk = "compiled in"
	}
	_, err := fmt.Fprintf(out, "linecrypt %s\ncommit    %s\ngo        %s\ndpdk      %s\n",
		or(info.Main.Version, "(devel)"), commit, or(info.GoVersion, "unknown"), dpdk)
	return err
}
