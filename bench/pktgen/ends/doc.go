// Package ends holds both ends of all connections of a run of `linecrypt bench run`: the hosts at a gateway's inside, which speak plain
// TCP, and the far ends at its outside, which speak tcpcrypt. It offers packets to the gateway, takes what comes out, acknowledges, and
// checks all of it: addresses, order, every tag, and every byte of data, which is a known pattern (package bench/pattern).
//
// The stations, in the order of a packet's life:
//
//	number  (number.go)    which connection has which addresses
//	open    (open.go)      connections are opened by real handshakes (exchange.go; again.go repeats them); far ends hold real keys (keys.go)
//	send    (send.go)      whose turn it is, and what it sends: data, acknowledgements, what is repeated (resend.go), forged SYNs (flood.go)
//	make    (make.go)      the bytes of a segment, with SACK blocks where something is missing (sack.go)
//	disturb (disturb.go)   loss, reordering and damage, where the scenario wants them
//	receive (receive.go)   what came out of the gateway, by connection; latency.go counts how long that took
//	check   (check.go)     tags in batches, and bytes
//	rekey   (rekey.go)     generations of keys, which far ends follow and begin
//	close   (close.go)     connections that are closed in order, to be opened anew
//
// The ends are a load, not a full TCP: there is no slow start and no congestion control, windows are large, and what is lost is
// repeated after three duplicate acknowledgements or after a time. Each segment of data is one frame on the wire.
//
// One goroutine uses an Ends. It owns the buffers that it receives and gives those away that it sends; its own memory is allocated by
// New, and neither offering nor taking established traffic allocates.
package ends
