// Package config is the configuration of an instance: one struct, and one table of keys from which the parser, the error
// messages, the reference in the documents and the example file are made. Both processes read the same file through it.
//
// It checks form and range of each value by itself. What only the owner of a value can know (whether a port exists, which
// engines this CPU runs) is checked there, and reported through Config.Err, which names the file and line of the key.
//
// A Config is plain data without references to what it was parsed from; it is not safe for concurrent change.
package config
