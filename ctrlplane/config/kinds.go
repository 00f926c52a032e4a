package config

import (
	"fmt"
	"time"

	"linecrypt/ctrlplane/config/keyfile"
)

// Types of values, with the fields of a Config that they go to: those of package keyfile, under short names for the table of keys.
type kind = keyfile.Kind[Config]

// option is one allowed word of a choice.
type option[T any] struct {
	word string
	is   T
}

func scalar[T any](name, allowed string, field func(*Config) *T, parse func(string) (T, error)) kind {
	return keyfile.Scalar(name, allowed, field, parse)
}

func text(allowed string, field func(*Config) *string, check func(string) error) kind {
	return keyfile.Text(allowed, field, check)
}

func plain(s string) error { return keyfile.Plain(s) }

func choice[T comparable](field func(*Config) *T, options ...option[T]) kind {
	var words []keyfile.Option[T]
	for _, o := range options {
		words = append(words, keyfile.Option[T]{Word: o.word, Is: o.is})
	}
	return keyfile.Choice(field, words...)
}

func integer(field func(*Config) *int, low, high int) kind { return keyfile.Integer(field, low, high) }

func count(field func(*Config) *uint64) kind { return keyfile.Count(field) }

func size(field func(*Config) *int, low, high uint64) kind { return keyfile.Size(field, low, high) }

func bigSize(field func(*Config) *uint64) kind { return keyfile.BigSize(field) }

func duration(field func(*Config) *time.Duration, low, high time.Duration) kind {
	return keyfile.Duration(field, low, high)
}

// pause is a duration that may be 0, for never.
func pause(field func(*Config) *time.Duration, low, high time.Duration) kind {
	allowed := fmt.Sprintf("0, or %v to %v", low, high)
	return scalar("duration", allowed, field, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration: want a number with ms, s, m or h, for example 90m, or 0 for never", s)
		}
		if d != 0 && (d < low || d > high) {
			return 0, fmt.Errorf("%s is not %s", s, allowed)
		}
		return d, nil
	})
}

func list[T comparable](allowed string, field func(*Config) *[]T, parse func(string) (T, error), empty, repeat bool) kind {
	return keyfile.List(allowed, field, parse, empty, repeat)
}
