package shm

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"linecrypt/flowtable"
)

// ForgetKeys erases all keys in the segment that a data plane of that name left when it was killed. What remains (addresses, states and
// positions of connections) is what the next data plane needs to reset them. Whoever outlives a data plane calls it: no key is to
// lie in memory that nobody uses. A segment of another version of the program, which nobody can read, is removed.
//
// The error wraps ErrBusy while a data plane runs. That there is no segment is none.
func ForgetKeys(dir, name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("forget keys: %w", err)
	}
	path := Path(dir, name)
	s, err := open(path, partData)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, ErrVersion) || errors.Is(err, ErrSegment):
		return unix.Unlink(path)
	case err != nil:
		return fmt.Errorf("forget keys: %w", err)
	}
	s.forgetKeys()
	return s.Close()
}

// RangeLeft calls f for each connection in the segment that a data plane of that name left when it was killed. Their records may say anything.
// A segment that is not there or that cannot be read has none.
func RangeLeft(dir, name string, f func(*flowtable.Record)) {
	s, err := Open(dir, name)
	if err != nil {
		return
	}
	defer s.Close()
	for i := range s.Workers() {
		w := s.Worker(i)
		if w == nil {
			continue
		}
		table, err := w.Flows()
		if err != nil {
			continue
		}
		table.Range(func(_ flowtable.Index, r *flowtable.Record) bool {
			f(r)
			return true
		})
	}
}

// ForgetKeys erases all keys in the segment, for a control plane that outlives the data plane. The error wraps ErrBusy while a data
// plane runs.
func (s *Segment) ForgetKeys() error {
	if s.part != partControl {
		return fmt.Errorf("forget keys: %w", ErrSegment)
	}
	if err := lock(s.fd, lockData); err != nil { // so that no data plane begins meanwhile
		return fmt.Errorf("forget keys: %w", err)
	}
	s.forgetKeys()
	return unlock(s.fd, lockData)
}

// forgetKeys erases the keys of the records, and all messages in the rings, which may hold keys too. Memory in which there is no flow
// table is erased as a whole.
func (s *Segment) forgetKeys() {
	s.forgetSecrets()
	for i := range s.Workers() {
		w := s.Worker(i)
		if w == nil {
			continue
		}
		w.Requests.erase()
		w.Replies.erase()
		if table, err := w.Flows(); err == nil {
			table.ForgetKeys()
		} else {
			clear(w.FlowMemory)
		}
	}
}

// forgetSecrets erases what is kept to resume with. Memory in which that cannot be found is erased as a whole.
func (s *Segment) forgetSecrets() {
	table, err := s.Resumption()
	if err != nil {
		clear(s.mem[s.regions.secrets:s.regions.workers])
		return
	}
	table.Erase()
}

// ForgetSecrets erases what is kept to resume with. Only the data plane does so, when it stops.
func (s *Segment) ForgetSecrets() {
	if s.part == partData {
		s.forgetSecrets()
	}
}

// erase empties a ring that nobody uses, and erases what was in it.
func (r Ring) erase() {
	r.ctl.head.Store(r.ctl.tail.Load())
	clear(r.buf)
}
