package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// System is the machine that is changed.
type System struct {
	Root string // "/" but for tests
	// Run runs a program and returns an error that has its output.
	Run func(name string, args ...string) error
	// Peer is the address that whoever runs this is logged in from, as SSH_CONNECTION begins with it; empty for a console.
	Peer string

	// wrote is what the kernel of a test does when a file of its is written.
	wrote func(path, text string)
}

// Step is a change that is not made yet.
type Step struct {
	Say string // what it changes, in words
	Do  func() error
}

func (s *System) path(parts ...string) string {
	return filepath.Join(append([]string{s.Root}, parts...)...)
}

// read returns a file's text without the space around it, empty where there is none.
func (s *System) read(parts ...string) string {
	b, err := os.ReadFile(s.path(parts...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// put writes to a file of the kernel's.
func (s *System) put(text string, parts ...string) error {
	f, err := os.OpenFile(s.path(parts...), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		f.Close()
		return err
	}
	if s.wrote != nil {
		s.wrote(filepath.Join(parts...), text)
	}
	return f.Close()
}

// link returns the last element of what a symbolic link leads to, empty where there is none.
func (s *System) link(parts ...string) string {
	target, err := os.Readlink(s.path(parts...))
	if err != nil {
		return ""
	}
	return filepath.Base(target)
}

// file is a step that writes a file, and says what for.
func (s *System) file(path, text, what string) Step {
	return Step{fmt.Sprintf("write %s, %s", path, what), func() error {
		if err := os.MkdirAll(filepath.Dir(s.path(path)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(s.path(path), []byte(text), 0o644)
	}}
}

// Apply makes the changes in their order, and stops at the first one that cannot be made.
func Apply(steps []Step) error {
	for _, step := range steps {
		if err := step.Do(); err != nil {
			return fmt.Errorf("%s: %w", step.Say, err)
		}
	}
	return nil
}

// hugepagesFile reserves huge pages at each boot, before memory is in pieces.
const hugepagesFile = "/etc/sysctl.d/60-linecrypt-hugepages.conf"

// KeepHugepages returns the step that reserves pages huge pages at each boot.
func (s *System) KeepHugepages(pages int) []Step {
	text := fmt.Sprintf("# As `linecrypt setup hugepages --persistent` was asked. Remove this file to reserve none.\nvm.nr_hugepages = %d\n", pages)
	return []Step{s.file(hugepagesFile, text, fmt.Sprintf("which reserves %d huge pages at each boot", pages))}
}
