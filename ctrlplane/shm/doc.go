// Package shm is the contract in shared memory between the data plane, the control plane and the tools that look at them.
//
// It holds the segment (a file of mode 0600, mapped by all), the rings that carry handshake work to the control plane and
// keys back, the messages in those rings, the rules by which the data plane decides on ENO, the counters, and the place of
// the flow tables. It is not the policy or the handshake itself, and it does not know the data plane's packages. The
// session-ID table, which applications read and which holds no secret, is a file of its own: package sessiontable.
//
// Memory: the segment is made by the data plane, which owns it. Ring views and messages decoded from them point into the
// segment and are valid until the message is released. Whatever another process wrote is treated as hostile.
package shm
