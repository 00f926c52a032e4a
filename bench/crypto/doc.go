// Package crypto measures the engines of package cryptobatch on one core, in the same run as what else is installed on the
// machine: DPDK's dpdk-test-crypto-perf with the drivers of Intel's multi-buffer library, and openssl speed.
//
// Every engine and peer is measured in turn, several times, and what is reported are medians: compare figures of one run,
// as ratios. Engines seal and open bursts in place, as DPDK's program does, in buffers that stay in the cache. An open
// verifies a good tag. DPDK's program gives its drivers tags that are wrong and does not look at what they say.
//
// The package is not a benchmark of the packet path, and it tests nothing: a wrong result of an engine is an error here,
// but one peer's results are never looked at. Machine-readable results are an array of Result.
package crypto
