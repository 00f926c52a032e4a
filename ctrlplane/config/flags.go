package config

import (
	"errors"
	"flag"
	"fmt"
	"strings"
)

// commandLine is the File of positions of keys that were set by a flag.
const commandLine = "command line"

// Flags are the command line flags that both processes and `linecrypt run` share: --config FILE, --name NAME,
// --inside PORT, --outside PORT, and --set KEY=VALUE for any other key, as often as wanted.
type Flags struct {
	file      string
	overrides []override
}

type override struct{ key, text string }

// AddFlags defines the shared flags in fs.
func AddFlags(fs *flag.FlagSet) *Flags {
	f := AddFlagsWithoutPorts(fs)
	f.addKey(fs, "inside", "`PORT` towards the hosts: an interface, a PCI address or an EAL device string")
	f.addKey(fs, "outside", "`PORT` towards the network: an interface, a PCI address or an EAL device string")
	return f
}

// AddFlagsWithoutPorts defines those of them that serve a gateway which makes its own ports.
func AddFlagsWithoutPorts(fs *flag.FlagSet) *Flags {
	f := &Flags{}
	fs.StringVar(&f.file, "config", "", "read the configuration from `FILE`")
	f.addKey(fs, "name", "`NAME` of the instance (default \"default\")")
	fs.Func("set", "set a key of the configuration, as in `KEY=VALUE`; may be repeated", f.addSet)
	return f
}

// addKey defines a flag that sets the key of its name.
func (f *Flags) addKey(fs *flag.FlagSet, name, usage string) {
	fs.Func(name, usage, func(s string) error {
		f.overrides = append(f.overrides, override{name, s})
		return nil
	})
}

func (f *Flags) addSet(s string) error {
	key, text, ok := strings.Cut(s, "=")
	if !ok {
		return errors.New("want KEY=VALUE")
	}
	if lookup(key) == nil {
		return fmt.Errorf("%s: %w", key, table.Unknown(key))
	}
	f.overrides = append(f.overrides, override{key, text})
	return nil
}

// Load returns the configuration of the file, or the default one without a file, with the flags applied over it. It may be
// called again to read a file that has changed. The error joins everything that is wrong.
func (f *Flags) Load() (*Config, error) {
	c := Default()
	if f.file != "" {
		var err error
		if c, err = Load(f.file); err != nil {
			return nil, err
		}
	}
	return f.override(c)
}

// LoadWithoutFile returns the default configuration with the flags applied over it, for when the file cannot be read. The error joins
// everything that is wrong.
func (f *Flags) LoadWithoutFile() (*Config, error) { return f.override(Default()) }

func (f *Flags) override(c *Config) (*Config, error) {
	var errs []error
	for _, o := range f.overrides {
		errs = append(errs, c.Set(commandLine, o.key, o.text))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// File returns the file that Load reads, empty for none.
func (f *Flags) File() string { return f.file }

// Args returns the flags that make another process load the same configuration.
func (f *Flags) Args() []string {
	var args []string
	if f.file != "" {
		args = append(args, "--config", f.file)
	}
	for _, o := range f.overrides {
		switch o.key {
		case "name", "inside", "outside":
			args = append(args, "--"+o.key, o.text)
		default:
			args = append(args, "--set", o.key+"="+o.text)
		}
	}
	return args
}
