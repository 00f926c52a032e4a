// Package topology builds what the demo, the measurements and the tests with real kernel TCP run on: a client and a server
// network namespace with a gateway namespace each between them, and a wire in the middle on which all that passes can be
// captured:
//
//	client ── inside [gateway A] outside ── a [wire] b ── outside [gateway B] inside ── server
//
// Client and server are in one subnet; the gateways are bumps in the wire. In the place of a gateway may stand a bridge of
// the kernel's, which stands for a network without one. A packet socket sees nothing of what an AF_XDP port sends or
// receives, so the wire is a namespace of its own, with a bridge in it.
//
// Everything that a Topology makes carries its ID, which names the process that owns it, so that Sweep can remove what a
// killed process left. It is not a test helper: errors are returned, and the caller closes what it opened.
package topology
