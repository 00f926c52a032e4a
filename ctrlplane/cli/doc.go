// Package cli is the logic of the linecrypt command: what its subcommands take, print and return as exit status.
//
// `run` starts and watches the two processes of an instance, `stop` ends them and removes what a killed one left, `reload` has
// the control plane load its configuration again and tells what came of it; `sessions` and `status` look at a running instance from
// outside, through its shared memory, which they map read-only, so that they work whatever state its processes are in.
//
// Who removes the shared memory, which holds keys: the data plane when it ends; `run` at its end; the last process that ends when
// `run` was killed. Behind a data plane that was killed it stays, for the next one to reset its connections by, and whoever of run and
// control plane outlives the data plane erases the keys in it. Where all were killed at once, `stop` or the next `run` removes it.
//
// The package serves no packet and answers no handshake.
package cli
