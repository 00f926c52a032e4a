package config

import (
	"errors"
	"fmt"
	"strings"

	"linecrypt/ctrlplane/spelling"
)

// unknownKey is the reason for refusing a key, with the known one that it resembles most, if any.
func unknownKey(name string) error {
	last := name[strings.LastIndexByte(name, '.')+1:]
	best, distance := "", min(spelling.Limit(last), spelling.Limit(name))
	for i := range keys {
		known := keys[i].Name
		d := min(spelling.Edits(name, known), spelling.Edits(last, known[strings.LastIndexByte(known, '.')+1:]))
		if d < distance {
			best, distance = known, d
		}
	}
	if best == "" {
		return errors.New("unknown key")
	}
	if section, key, ok := strings.Cut(best, "."); ok {
		return fmt.Errorf("unknown key; did you mean %s (%s: below %s:)", best, key, section)
	}
	return fmt.Errorf("unknown key; did you mean %s", best)
}
