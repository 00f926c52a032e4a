package cli

import (
	"crypto/ed25519"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"linecrypt/ctrlplane/peering/identity"
)

// keyFile is where a key lies if nobody says another place.
const keyFile = "/etc/linecrypt/peering.key"

var keyGenerateCommand = command{
	name:    "key generate",
	args:    "[FILE]",
	summary: "make the key by which peers know this gateway",
	details: "Makes an Ed25519 key, writes it to FILE (" + keyFile + " unless said otherwise) with mode 0600, and prints its\npublic half, for the peers' configuration. A file that is there stays as it is. peering.key names the file.",
	takes:   1,
	fewer:   true,
	define: func(a *App, fs *flag.FlagSet) func() error {
		return func() error { return a.generateKey(keyFileOf(fs)) }
	},
}

var keyShowCommand = command{
	name:    "key show",
	args:    "[FILE]",
	summary: "print the public half of a key",
	details: "Prints the public half of the key in FILE (" + keyFile + " unless said otherwise), as the peers' configuration\nwants it.",
	takes:   1,
	fewer:   true,
	define: func(a *App, fs *flag.FlagSet) func() error {
		return func() error { return a.showKey(keyFileOf(fs)) }
	},
}

func keyFileOf(fs *flag.FlagSet) string {
	if fs.NArg() > 0 {
		return fs.Arg(0)
	}
	return keyFile
}

func (a *App) generateKey(path string) error {
	if path == keyFile {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("key file: %w", err)
		}
	}
	key, err := identity.Generate()
	if err != nil {
		return err
	}
	if err := identity.Write(path, key); err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout, identity.Public(key.Public().(ed25519.PublicKey)))
	return nil
}

func (a *App) showKey(path string) error {
	key, err := identity.Read(path)
	if err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout, identity.Public(key.Public().(ed25519.PublicKey)))
	return nil
}
