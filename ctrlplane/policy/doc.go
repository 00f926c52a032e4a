// Package policy is what decides on a connection: terms, and the rules that say which connection goes by which.
//
// It is pure: it knows no file, segment, clock or process. The control plane makes terms of its configuration and publishes them by
// package shm; the data plane decides by them, once for each connection, at its first segment.
package policy
