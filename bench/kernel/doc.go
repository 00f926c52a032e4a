// Package kernel holds the end-to-end tests with the kernel's own TCP at both ends of two real gateways, in network
// namespaces. It has tests only. They build the gateway's programs with the build tags they were built with themselves,
// need root, and skip without it, which CI=true makes a failure.
package kernel
