package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxItems bounds a list, maxText a text in bytes.
const (
	maxItems = 256
	maxText  = 1024
)

// value is what the file or the command line gives a key.
type value struct {
	items  []string
	list   bool
	quoted bool // a scalar in quotation marks is text, whatever it looks like
}

// textValue reads the form of the command line, in which commas separate the items of a list.
func textValue(text string, list bool) value {
	if !list {
		return value{items: []string{text}}
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	v := value{list: true}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			v.items = append(v.items, item)
		}
	}
	return v
}

// kind is a type of value together with the field it goes to.
type kind struct {
	name    string // as the reference shows it
	allowed string
	list    bool
	set     func(*Config, value) error
	show    func(*Config) string // in the form of the command line
}

// scalar makes a kind from a parser of one item.
func scalar[T any](name, allowed string, field func(*Config) *T, parse func(string) (T, error)) kind {
	show := func(c *Config) string { return fmt.Sprint(*field(c)) }
	return kind{name: name, allowed: allowed, show: show, set: func(c *Config, v value) error {
		if v.list {
			return fmt.Errorf("want %s, not a list", name)
		}
		if v.quoted && name != "text" && name != "choice" {
			return fmt.Errorf("want %s, not quoted text", name)
		}
		x, err := parse(v.items[0])
		if err == nil {
			*field(c) = x
		}
		return err
	}}
}

func text(allowed string, field func(*Config) *string, check func(string) error) kind {
	return scalar("text", allowed, field, func(s string) (string, error) {
		if err := plain(s); err != nil {
			return "", err
		}
		return s, check(s)
	})
}

// plain refuses what no key can mean: control characters and texts of unreasonable length.
func plain(s string) error {
	if len(s) > maxText {
		return fmt.Errorf("%d bytes are more than %d", len(s), maxText)
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return fmt.Errorf("%q holds a character that is not printable", s)
		}
	}
	return nil
}

// option is one allowed word of a choice.
type option[T any] struct {
	word string
	is   T
}

func choice[T comparable](field func(*Config) *T, options ...option[T]) kind {
	var words []string
	for _, o := range options {
		words = append(words, o.word)
	}
	k := scalar("choice", strings.Join(words, ", "), field, func(s string) (T, error) {
		i := slices.Index(words, s)
		if i < 0 {
			var none T
			return none, fmt.Errorf("%q is not one of %s", s, strings.Join(words, ", "))
		}
		return options[i].is, nil
	})
	k.show = func(c *Config) string {
		return words[slices.IndexFunc(options, func(o option[T]) bool { return o.is == *field(c) })]
	}
	return k
}

func integer(field func(*Config) *int, low, high int) kind {
	return scalar("integer", fmt.Sprintf("%d to %d", low, high), field, func(s string) (int, error) {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a whole number", s)
		}
		if n < int64(low) || n > int64(high) {
			return 0, fmt.Errorf("%d is not in %d to %d", n, low, high)
		}
		return int(n), nil
	})
}

// count is an integer that may be as large as 2^62.
func count(field func(*Config) *uint64) kind {
	return scalar("integer", "0 or more", field, func(s string) (uint64, error) {
		n, err := strconv.ParseUint(s, 10, 62)
		if err != nil {
			return 0, fmt.Errorf("%q is not a whole number from 0 to 2^62", s)
		}
		return n, nil
	})
}

var sizeUnits = []option[uint64]{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}

func parseSize(s string) (uint64, error) {
	unit := uint64(1)
	digits := s
	for _, u := range sizeUnits {
		if d, ok := strings.CutSuffix(s, u.word); ok {
			digits, unit = strings.TrimSpace(d), u.is
		}
	}
	n, err := strconv.ParseUint(digits, 10, 62)
	if err != nil || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size: want bytes, or a whole number with KiB, MiB, GiB or TiB", s)
	}
	return n * unit, nil
}

func size(field func(*Config) *int, low, high uint64) kind {
	allowed := formatSize(low) + " to " + formatSize(high)
	k := scalar("size", allowed, field, func(s string) (int, error) {
		n, err := parseSize(s)
		if err == nil && (n < low || n > high) {
			err = fmt.Errorf("%s is not in %s", s, allowed)
		}
		return int(n), err
	})
	k.show = func(c *Config) string { return formatSize(uint64(*field(c))) }
	return k
}

func bigSize(field func(*Config) *uint64) kind {
	k := scalar("size", "0 or more", field, parseSize)
	k.show = func(c *Config) string { return formatSize(*field(c)) }
	return k
}

func formatSize(n uint64) string {
	for _, u := range slices.Backward(sizeUnits) {
		if n >= u.is && n%u.is == 0 {
			return fmt.Sprintf("%d%s", n/u.is, u.word)
		}
	}
	return strconv.FormatUint(n, 10)
}

func duration(field func(*Config) *time.Duration, low, high time.Duration) kind {
	allowed := fmt.Sprintf("%v to %v", low, high)
	return scalar("duration", allowed, field, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration: want a number with us, ms, s or m, for example 500ms", s)
		}
		if d < low || d > high {
			return 0, fmt.Errorf("%s is not in %s", s, allowed)
		}
		return d, nil
	})
}

// list makes a kind from a parser of one item. Items may repeat only if repeat is set; none at all only if empty is set.
func list[T comparable](allowed string, field func(*Config) *[]T, parse func(string) (T, error), empty, repeat bool) kind {
	show := func(c *Config) string {
		var items []string
		for _, x := range *field(c) {
			items = append(items, fmt.Sprint(x))
		}
		return strings.Join(items, ",")
	}
	return kind{name: "list", allowed: allowed, list: true, show: show, set: func(c *Config, v value) error {
		if !v.list {
			return fmt.Errorf("want a list, for example [%s]", strings.Join(v.items, ""))
		}
		if len(v.items) > maxItems {
			return fmt.Errorf("%d items are more than %d", len(v.items), maxItems)
		}
		if len(v.items) == 0 && !empty {
			return errors.New("the list is empty")
		}
		var xs []T
		for _, item := range v.items {
			x, err := parse(item)
			if err != nil {
				return err
			}
			if !repeat && slices.Contains(xs, x) {
				return fmt.Errorf("%s is listed twice", item)
			}
			xs = append(xs, x)
		}
		*field(c) = xs
		return nil
	}}
}
