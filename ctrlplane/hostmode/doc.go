// Package hostmode leads the TCP of the machine that it runs on through a gateway on the same machine, without an address, a route or a name of
// an interface changed.
//
// The gateway's two ports are TAP devices that nobody reads. Programs that are attached to the protected interface (package steer) take the TCP
// that the machine sends to the inside port, and that which arrives to the outside port, by their receiving side, where a packet port sees it.
// What the gateway sends to a port they take on: to the interface on its way out, or into the stack as if it had arrived there, told apart by
// a mark. All else (other protocols, other machines' TCP that is only forwarded, VLANs, and connections that were open before) passes as ever.
//
// All of that hangs on descriptors that the supervisor and the data plane share: when both have ended, however they did, the kernel takes it
// away. What remains is a guard: two classifiers (tc-bpf) on the interface, which need no process. Behind a gateway they let pass what is its.
// Without one they drop what still belongs to connections that were encrypted, whose plaintext is not to leave and whose
// ciphertext no program is to read as data; where policy is `require` they let no TCP pass but that of older connections. Which connections are
// encrypted the programs see from the ENO options, whoever is killed and when.
//
// The supervisor removes the guard when the data plane has ended, once it has aborted what connections of the machine a data plane
// that was killed has left. When the supervisor is killed a process beside it (Sweep) does. Only where nobody is left, where policy asks for it,
// or where some of these connections have no socket here that could be aborted, it stays until somebody opens the interface, or protects it
// again.
package hostmode
