// Package foreign is another implementation's endpoint for tests: a host that speaks TCP, TCP-ENO and tcpcrypt by itself,
// over IPv4 on a raw socket, with an address that the kernel does not own. It sends frames of any size, cut into segments
// wherever the test wants, and every bit that RFC 8548 lets a sender set.
//
// It shares the encodings of ctrlplane/eno and ctrlplane/tcpcrypt, which the vectors prove, but nothing of the data plane.
// Its TCP is the smallest that works: no SACK, no timestamps, no congestion control; go-back-N after a fixed time.
//
// Memory: an Endpoint and its Conns keep all they sent and received; slices handed in are copied.
package foreign
