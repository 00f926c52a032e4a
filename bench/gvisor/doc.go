// Package gvisor holds end-to-end tests that need nothing but Go: whole TCP connections between two stacks of gVisor through
// two gateways (package hosts builds them), with links that lose, reorder, duplicate and edit packets. The gateways have two workers
// each where a test says nothing else; LINECRYPT_TEST_WORKERS=1 in the environment runs all with one.
package gvisor
