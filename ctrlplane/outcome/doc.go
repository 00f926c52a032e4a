// Package outcome is where the workers of a data plane note what became of the connections that they do not encrypt: that one passes in the
// clear from here on, that such a one is over, that one was refused, and why. Encrypted ones are in the session table.
//
// Each worker writes into memory of its own in the shared segment, over the oldest notes, and never waits for a reader. So a note costs the
// same however many there are, and is there while the control plane is away. What a worker notes of refused connections is shared among the
// networks of the far ends (/24, /64), so that one that has many refused does not hide those of all others.
package outcome
