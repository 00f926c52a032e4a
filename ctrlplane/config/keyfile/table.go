package keyfile

import (
	"errors"
	"fmt"
	"strings"

	"linecrypt/ctrlplane/spelling"
)

// Key is a line of a table of keys.
type Key[C any] struct {
	Name string // dotted: the part before the dot is the section in the YAML file
	Kind Kind[C]
}

// Table is all the keys that a file may set, with the fields of a C that they go to.
type Table[C any] []Key[C]

// Lookup returns the key of that name, nil where there is none.
func (t Table[C]) Lookup(name string) *Key[C] {
	for i := range t {
		if t[i].Name == name {
			return &t[i]
		}
	}
	return nil
}

func (t Table[C]) isSection(name string) bool {
	for i := range t {
		if s, _, ok := strings.Cut(t[i].Name, "."); ok && s == name {
			return true
		}
	}
	return false
}

// sections lists the sections, with repetitions.
func (t Table[C]) sections() []string {
	var all []string
	for i := range t {
		if s, _, ok := strings.Cut(t[i].Name, "."); ok {
			all = append(all, s)
		}
	}
	return all
}

// Unknown is the reason for refusing a key, with the known one that it resembles most, if any.
func (t Table[C]) Unknown(name string) error {
	last := name[strings.LastIndexByte(name, '.')+1:]
	best, distance := "", min(spelling.Limit(last), spelling.Limit(name))
	for i := range t {
		known := t[i].Name
		d := min(spelling.Edits(name, known), spelling.Edits(last, known[strings.LastIndexByte(known, '.')+1:]))
		if d < distance {
			best, distance = known, d
		}
	}
	if best == "" {
		if section := spelling.Nearest(name, t.sections()); section != "" && !strings.Contains(name, ".") {
			return fmt.Errorf("unknown key; did you mean %s", section)
		}
		return errors.New("unknown key")
	}
	if section, key, ok := strings.Cut(best, "."); ok {
		return fmt.Errorf("unknown key; did you mean %s (%s: below %s:)", best, key, section)
	}
	return fmt.Errorf("unknown key; did you mean %s", best)
}
