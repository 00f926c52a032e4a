// Package human writes sizes, rates, counts and times as people read them: three digits and a unit.
package human

import (
	"fmt"
	"time"
)

// scaled brings a number below a thousand and returns its place in a list of units.
func scaled(f float64, units int) (float64, int) {
	u := 0
	for f >= 999.95 && u < units-1 {
		f /= 1000
		u++
	}
	return f, u
}

// Bytes is a size, such as 4.2 kB.
func Bytes(n uint64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	f, u := scaled(float64(n), len(units))
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}

// Rate is a rate in bit/s, such as 1.2 Gbit/s.
func Rate(bps float64) string {
	units := []string{"bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"}
	f, u := scaled(bps, len(units))
	if u == 0 || f >= 100 {
		return fmt.Sprintf("%.0f %s", f, units[u])
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}

// Count is a number of things, such as 4.2 M packets.
func Count(n uint64, what string) string {
	units := []string{"", " k", " M", " G", " T"}
	text := fmt.Sprintf("%d", n)
	if f, u := scaled(float64(n), len(units)); u > 0 {
		text = fmt.Sprintf("%.1f%s", f, units[u])
	}
	if what != "" {
		text += " " + what
	}
	return text
}

// Age is a time in seconds in at most seven columns: 12s, 3m12s, 4h07m, 12d03h.
func Age(s float64) string {
	d := time.Duration(s * float64(time.Second)).Round(time.Second)
	h, m := int(d.Hours()), int(d.Minutes())
	switch {
	case m < 1:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case h < 1:
		return fmt.Sprintf("%dm%02ds", m, int(d.Seconds())-60*m)
	case h < 24:
		return fmt.Sprintf("%dh%02dm", h, m-60*h)
	}
	return fmt.Sprintf("%dd%02dh", h/24, h%24)
}

// Percent is a share in words: never 100 % nor none where it is not.
func Percent(part, all uint64) string {
	switch {
	case part == 0:
		return "none"
	case part >= all:
		return "100 %"
	}
	return fmt.Sprintf("%.1f %%", min(max(100*float64(part)/float64(all), 0.1), 99.9))
}

// PerSecond is a rate of events.
func PerSecond(n float64) string {
	if n > 0 && n < 10 {
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.0f", n)
}

// Plural is a number of things, such as 1 connection or 2 connections.
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
