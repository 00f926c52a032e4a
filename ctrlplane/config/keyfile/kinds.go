package keyfile

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// MaxItems bounds a list, MaxText a text in bytes.
const (
	MaxItems = 256
	MaxText  = 1024
)

// Value is what the file or the command line gives a key.
type Value struct {
	items  []string
	list   bool
	quoted bool   // a scalar in quotation marks is text, whatever it looks like
	text   string // as the command line has it
}

// TextValue reads the form of the command line, in which commas separate the items of a list.
func TextValue(text string, list bool) Value {
	if !list {
		return Value{items: []string{text}, text: text}
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	v := Value{list: true}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			v.items = append(v.items, item)
		}
	}
	return v
}

// Kind is a type of value together with the field of a C that it goes to.
type Kind[C any] struct {
	Name    string // as the reference shows it
	Allowed string
	List    bool
	Set     func(*C, Value) error
	Show    func(*C) string // in the form of the command line

	mappings func(c *C, file, key string, n *yaml.Node) []*Error // of a list of mappings: reads one from a file
}

// Scalar makes a kind from a parser of one item.
func Scalar[C, T any](name, allowed string, field func(*C) *T, parse func(string) (T, error)) Kind[C] {
	show := func(c *C) string { return fmt.Sprint(*field(c)) }
	return Kind[C]{Name: name, Allowed: allowed, Show: show, Set: func(c *C, v Value) error {
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

// Text is a text that check accepts.
func Text[C any](allowed string, field func(*C) *string, check func(string) error) Kind[C] {
	return Scalar("text", allowed, field, func(s string) (string, error) {
		if err := Plain(s); err != nil {
			return "", err
		}
		return s, check(s)
	})
}

// Plain refuses what no key can mean: control characters and texts of unreasonable length.
func Plain(s string) error {
	if len(s) > MaxText {
		return fmt.Errorf("%d bytes are more than %d", len(s), MaxText)
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return fmt.Errorf("%q holds a character that is not printable", s)
		}
	}
	return nil
}

// Option is one allowed word of a choice.
type Option[T any] struct {
	Word string
	Is   T
}

// Choice is one of the words of options.
func Choice[C any, T comparable](field func(*C) *T, options ...Option[T]) Kind[C] {
	var words []string
	for _, o := range options {
		words = append(words, o.Word)
	}
	k := Scalar("choice", strings.Join(words, ", "), field, func(s string) (T, error) {
		i := slices.Index(words, s)
		if i < 0 {
			var none T
			return none, fmt.Errorf("%q is not one of %s", s, strings.Join(words, ", "))
		}
		return options[i].Is, nil
	})
	k.Show = func(c *C) string {
		return words[slices.IndexFunc(options, func(o Option[T]) bool { return o.Is == *field(c) })]
	}
	return k
}

// Integer is a whole number from low to high.
func Integer[C any](field func(*C) *int, low, high int) Kind[C] {
	return Scalar("integer", fmt.Sprintf("%d to %d", low, high), field, func(s string) (int, error) {
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

// Count is an integer that may be as large as 2^62.
func Count[C any](field func(*C) *uint64) Kind[C] {
	return Scalar("integer", "0 or more", field, func(s string) (uint64, error) {
		n, err := strconv.ParseUint(s, 10, 62)
		if err != nil {
			return 0, fmt.Errorf("%q is not a whole number from 0 to 2^62", s)
		}
		return n, nil
	})
}

var sizeUnits = []Option[uint64]{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}

// ParseSize reads a number of bytes, or a whole number with KiB, MiB, GiB or TiB.
func ParseSize(s string) (uint64, error) {
	unit := uint64(1)
	digits := s
	for _, u := range sizeUnits {
		if d, ok := strings.CutSuffix(s, u.Word); ok {
			digits, unit = strings.TrimSpace(d), u.Is
		}
	}
	n, err := strconv.ParseUint(digits, 10, 62)
	if err != nil || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%q is not a size: want bytes, or a whole number with KiB, MiB, GiB or TiB", s)
	}
	return n * unit, nil
}

// Size is a number of bytes from low to high.
func Size[C any](field func(*C) *int, low, high uint64) Kind[C] {
	allowed := FormatSize(low) + " to " + FormatSize(high)
	k := Scalar("size", allowed, field, func(s string) (int, error) {
		n, err := ParseSize(s)
		if err == nil && (n < low || n > high) {
			err = fmt.Errorf("%s is not in %s", s, allowed)
		}
		return int(n), err
	})
	k.Show = func(c *C) string { return FormatSize(uint64(*field(c))) }
	return k
}

// BigSize is a number of bytes of up to 2^62.
func BigSize[C any](field func(*C) *uint64) Kind[C] {
	k := Scalar("size", "0 or more", field, ParseSize)
	k.Show = func(c *C) string { return FormatSize(*field(c)) }
	return k
}

// FormatSize is its inverse, in the largest unit that leaves a whole number.
func FormatSize(n uint64) string {
	for _, u := range slices.Backward(sizeUnits) {
		if n >= u.Is && n%u.Is == 0 {
			return fmt.Sprintf("%d%s", n/u.Is, u.Word)
		}
	}
	return strconv.FormatUint(n, 10)
}

// Duration is a time from low to high.
func Duration[C any](field func(*C) *time.Duration, low, high time.Duration) Kind[C] {
	allowed := fmt.Sprintf("%v to %v", low, high)
	return Scalar("duration", allowed, field, func(s string) (time.Duration, error) {
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

// List makes a kind from a parser of one item. Items may repeat only if repeat is set; none at all only if empty is set.
func List[C any, T comparable](allowed string, field func(*C) *[]T, parse func(string) (T, error), empty, repeat bool) Kind[C] {
	show := func(c *C) string {
		var items []string
		for _, x := range *field(c) {
			items = append(items, fmt.Sprint(x))
		}
		return strings.Join(items, ",")
	}
	return Kind[C]{Name: "list", Allowed: allowed, List: true, Show: show, Set: func(c *C, v Value) error {
		if !v.list {
			return fmt.Errorf("want a list, for example [%s]", strings.Join(v.items, ""))
		}
		if len(v.items) > MaxItems {
			return fmt.Errorf("%d items are more than %d", len(v.items), MaxItems)
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
