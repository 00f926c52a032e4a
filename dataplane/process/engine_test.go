package process

import (
	"errors"
	"strings"
	"testing"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
)

func TestWrongEngineIsBlamedOnWhatNamedIt(t *testing.T) {
	for _, c := range []struct{ file, env, want string }{
		{"engine: generic\n", "warp9", `environment variable LINECRYPT_ENGINE: cryptobatch: engine "warp9": `},
		{"engine: warp8\n", "warp9", `environment variable LINECRYPT_ENGINE: cryptobatch: engine "warp9": `},
		{"engine: warp9\n", "", `gateway.yaml:1: engine: cryptobatch: engine "warp9": `},
	} {
		cfg, err := config.Parse("gateway.yaml", []byte(c.file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := makeEngine(cfg, c.env); !errors.Is(err, cryptobatch.ErrUnknownEngine) || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q in the environment, %q in the file: %v, want %s...", c.env, c.file, err, c.want)
		}
	}
}

func TestEngineOfTheEnvironmentIsTakenBeforeThatOfTheConfiguration(t *testing.T) {
	cfg, err := config.Parse("gateway.yaml", []byte("engine: warp9\n"))
	if err != nil {
		t.Fatal(err)
	}
	if e, err := makeEngine(cfg, cryptobatch.GenericName); err != nil || e.Name() != cryptobatch.GenericName {
		t.Errorf("%v, %v", e, err)
	}
}
