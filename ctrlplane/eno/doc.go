// Package eno holds the TCP-ENO option of RFC 8547 as pure functions: finding it among TCP options, reading and building
// its forms (section 4.1 to 4.4), the roles and the negotiated TEP (4.3, 4.5), the reasons to fall back to unencrypted
// TCP (4.6) and the negotiation transcript (4.8).
//
// It is not a handshake: it keeps no state, sends nothing, and knows neither packets nor any particular TEP. What a
// TEP's suboption data must look like is told by a predicate of the caller's (tcpcrypt.ValidSuboptions for RFC 8548).
//
// Who owns the memory: every function borrows the slices it is given. Append functions extend and return the caller's
// slice. What Find, Parse and Negotiate return aliases their input.
package eno
