// Package cli is the logic of the linecrypt command: what its subcommands take, print and return as exit status.
//
// `run` starts and watches the two processes of an instance; `sessions` and `status` look at a running instance from
// outside, through its shared memory, which they map read-only, so that they work whatever state its processes are in.
// The package serves no packet and answers no handshake.
package cli
