// Package gvisor holds end-to-end tests that need nothing but Go: whole TCP connections between two stacks of gVisor through
// two gateways (package hosts builds them), with links that lose, reorder, duplicate and edit packets.
package gvisor
