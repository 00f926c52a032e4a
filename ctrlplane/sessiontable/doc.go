// Package sessiontable publishes the session IDs of encrypted connections to applications.
//
// It is a file that the control plane alone writes and that whoever may read it maps and searches without a lock or a
// system call. Session IDs are not secret (RFC 8548 section 3.4); no key is ever in it. Which group may read it is policy,
// expressed in the file's mode and group.
//
// It is not the flow table: it is keyed by the connection's addresses as its two ends see them, and what is in it outlives
// neither the control plane's knowledge nor Reconcile.
//
// Memory: the writer owns the file. Readers copy entries out. A writer that is killed at any instant wedges nobody:
// readers give up on a slot after a bounded number of tries, and the next writer mends it.
package sessiontable
