package config

import (
	"fmt"
	"io"
	"os"

	"linecrypt/ctrlplane/config/keyfile"
)

// MaxFile is the largest configuration file in bytes.
const MaxFile = keyfile.MaxFile

// Load reads a configuration file. The error joins one *Error for each thing that is wrong.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return Parse(path, data)
}

// Parse reads a configuration from YAML; file is its name in errors. An empty document is the default configuration.
func Parse(file string, data []byte) (*Config, error) {
	c := Default()
	var err error
	if c.set, err = table.Parse(file, data, c); err != nil {
		return nil, err
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
}
