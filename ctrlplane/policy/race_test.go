//go:build race

package policy

// raceFactor is how much slower a program is that looks for data races.
const raceFactor = 20
