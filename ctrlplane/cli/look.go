package cli

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// lookFlags are the flags of the commands that look at a running instance.
type lookFlags struct {
	name *string
	json *bool
}

func addLookFlags(fs *flag.FlagSet) lookFlags {
	return lookFlags{
		name: addNameFlag(fs),
		json: fs.Bool("json", false, "print JSON"),
	}
}

// with calls f with the running instance and its segment, mapped for reading.
func (l lookFlags) with(f func(*instance.Instance, *shm.Segment) error) error {
	in, err := instance.Find(*l.name)
	if err != nil {
		return err
	}
	dir, err := in.SegmentDir()
	if err != nil {
		return err
	}
	s, err := shm.Open(dir, in.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("instance %q is starting: it has no shared memory yet", in.Name())
	}
	if err != nil {
		return err
	}
	defer s.Close()
	return f(in, s)
}

// printJSON writes v, indented, and a newline.
func printJSON(out io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		_, err = out.Write(append(b, '\n'))
	}
	return err
}

// flows returns worker i's flow table.
func flows(s *shm.Segment, i int) (*flowtable.Table, error) {
	table, err := s.Worker(i).Flows()
	if err != nil && !s.Ready() {
		return nil, fmt.Errorf("instance %q is starting: worker %d has no flow table yet", s.Name(), i)
	}
	return table, err
}
