// Package connections lists the connections of a running data plane from the shared segment: encrypted ones with their session IDs, and those
// that pass in the clear or were refused, with the reason. It reads records while their workers go on, and copies no key. It changes nothing, and works while the
// control plane is away.
package connections
