package config

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"linecrypt/ctrlplane/config/keyfile"
)

// MaxFile is the largest configuration file in bytes.
const MaxFile = keyfile.MaxFile

// pipeTimeout is how long a configuration may take that comes through a pipe.
const pipeTimeout = 5 * time.Second

// Load reads a configuration file. The error joins one *Error for each thing that is wrong.
func Load(path string) (*Config, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would have whoever opens it wait for a writer
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	_ = f.SetReadDeadline(time.Now().Add(pipeTimeout)) // a file has none
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	if st, err := f.Stat(); len(data) == 0 && err == nil && st.Mode()&fs.ModeNamedPipe != 0 {
		return nil, fmt.Errorf("configuration %s: it is a pipe that nobody writes to", path)
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
