// Package hostmode leads the TCP of the machine that it runs on through a gateway on the same machine, without an address, a route or a name of
// an interface changed.
//
// The gateway's two ports are TAP devices that nobody reads. Programs that are attached to the protected interface (package steer) take the TCP
// that the machine sends to the inside port, and that which arrives to the outside port, by their receiving side, where a packet port sees it.
// What the gateway sends to a port they take on: to the interface on its way out, or into the stack as if it had arrived there, told apart by
// a mark. All else (other protocols, other machines' TCP that is only forwarded, VLANs, and connections that were open before) passes as ever.
//
// All of it hangs on descriptors that the supervisor and the data plane share: when both have ended, however they did, the kernel takes it away.
// A data plane that dies alone leaves connections whose bytes the far end cannot read any more; the supervisor aborts them, so that
// none of their plaintext follows, and lets go. Where policy is `require` a guard remains: two classifiers (tc-bpf) on the interface, which need
// no process and let no TCP pass but that of a gateway and of older connections, until somebody opens the interface again.
package hostmode
