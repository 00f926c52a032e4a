// Package scenarios bundles the scenarios of `linecrypt bench run`, one file each, with the program. What a file may say is the table
// of keys of package bench/pktgen/scenario; each begins with a comment that says what it shows and how to read the result.
package scenarios

import "embed"

// Files are the files, in the folder ".".
//
//go:embed *.yaml
var Files embed.FS
