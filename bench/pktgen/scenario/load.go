package scenario

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"linecrypt/bench/scenarios"
	"linecrypt/ctrlplane/config/keyfile"
	"linecrypt/ctrlplane/spelling"
)

const ending = ".yaml"

// Default returns the scenario of an empty file.
func Default() *Scenario {
	s := &Scenario{set: map[string]keyfile.Position{}}
	for i := range keys {
		k := &keys[i]
		if err := k.kind.Set(s, keyfile.TextValue(k.standard, k.kind.List)); err != nil {
			panic("scenario: default of " + k.name + ": " + err.Error())
		}
	}
	return s
}

// Parse reads a scenario from YAML; file is its name in errors. The error joins one *keyfile.Error for each thing that is wrong.
func Parse(file string, data []byte) (*Scenario, error) {
	s := Default()
	s.Name = strings.TrimSuffix(filepath.Base(file), ending)
	var err error
	if s.set, err = table.Parse(file, data, s); err != nil {
		return nil, err
	}
	if err := s.Check(); err != nil {
		return nil, err
	}
	return s, nil
}

// Load reads the file of that path, or the bundled scenario of that name.
func Load(name string) (*Scenario, error) {
	f, err := os.Open(name)
	if err == nil {
		defer f.Close()
		var st fs.FileInfo
		if st, err = f.Stat(); err == nil && !st.IsDir() {
			data, err := io.ReadAll(io.LimitReader(f, keyfile.MaxFile+1))
			if err != nil {
				return nil, fmt.Errorf("scenario %s: %w", name, err)
			}
			return Parse(name, data)
		}
	}
	data, bundled := scenarios.Files.ReadFile(name + ending)
	if bundled == nil {
		return Parse(name+ending, data)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return nil, fmt.Errorf("%q is neither a file nor a bundled scenario%s (`linecrypt bench list` lists them)", name, meant(name))
}

func meant(name string) string {
	if near := spelling.Nearest(strings.TrimSuffix(name, ending), Names()); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// Names lists the bundled scenarios.
func Names() []string {
	entries, _ := scenarios.Files.ReadDir(".")
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ending))
	}
	slices.Sort(names)
	return names
}
