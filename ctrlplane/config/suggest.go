package config

import (
	"errors"
	"fmt"
	"strings"
)

// unknownKey is the reason for refusing a key, with the known one that it resembles most, if any.
func unknownKey(name string) error {
	if len(name) > 64 {
		return errors.New("unknown key")
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	best, distance := "", 1+min(3, len(last)/2)
	for i := range keys {
		known := keys[i].Name
		d := min(edits(name, known), edits(last, known[strings.LastIndexByte(known, '.')+1:]))
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

// edits counts the bytes to insert, delete or replace to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
