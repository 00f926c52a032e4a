package instance

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// ErrNotRunning is wrapped by the error of Find.
var ErrNotRunning = errors.New("not running")

// notRunning is the error of Find; it says what to do.
type notRunning struct {
	name   string
	others []string
}

func (e *notRunning) Error() string {
	s := fmt.Sprintf("no instance named %q is running; start one with: linecrypt run --inside PORT --outside PORT", e.name)
	if e.name != "default" {
		s += " --name " + e.name
	}
	if len(e.others) > 0 {
		s += " (running: " + strings.Join(e.others, ", ") + ")"
	}
	return s
}

func (e *notRunning) Unwrap() error { return ErrNotRunning }

// Find returns the running instance of that name, one whose data plane or control plane holds its lock. It must belong to
// the same user. The error wraps ErrNotRunning and names those that do run.
func Find(name string) (*Instance, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if in := findRunning(name); in != nil {
		return in, nil
	}
	if err := foreign(name); err != nil {
		return nil, err
	}
	return nil, &notRunning{name, List()}
}

// FindLeft returns the instance of that name that does not run and has left things behind, nil when there is none.
func FindLeft(name string) *Instance {
	if CheckName(name) != nil || findRunning(name) != nil {
		return nil
	}
	for _, base := range Bases() {
		if in := at(base, name); checkBase(base) == nil && checkOwn(in.dir) == nil {
			return in
		}
	}
	return nil
}

// List returns the names of this user's running instances, sorted.
func List() []string { return names((*Instance).runs) }

// ListLeft returns the names of this user's instances that do not run and have left things behind, sorted.
func ListLeft() []string {
	return names(func(in *Instance) bool { return checkOwn(in.dir) == nil && !in.runs() })
}

func names(want func(*Instance) bool) []string {
	var names []string
	for _, base := range Bases() {
		entries, err := os.ReadDir(base)
		if err != nil || checkBase(base) != nil {
			continue
		}
		for _, e := range entries {
			if CheckName(e.Name()) == nil && want(at(base, e.Name())) {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func findRunning(name string) *Instance {
	for _, base := range Bases() {
		if in := at(base, name); checkBase(base) == nil && in.runs() {
			return in
		}
	}
	return nil
}

func (in *Instance) runs() bool {
	if checkOwn(in.dir) != nil {
		return false
	}
	_, data := in.Running(DataPlane)
	_, ctrl := in.Running(ControlPlane)
	return data || ctrl
}

// foreign returns an error if there is an instance of that name that another user runs.
func foreign(name string) error {
	for _, base := range Bases() {
		in := at(base, name)
		st, err := lstatDir(in.dir)
		if err == nil && checkBase(base) == nil && int(st.Uid) != os.Getuid() {
			return fmt.Errorf("instance %q belongs to user %d (%s); this is user %d: %w", name, st.Uid, in.dir, os.Getuid(), ErrNotRunning)
		}
	}
	return nil
}
