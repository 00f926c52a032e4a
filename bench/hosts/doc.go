// Package hosts builds, within one process and without any privilege, what the end-to-end tests run on: two hosts that are
// TCP stacks of gVisor, a gateway before each of them, and links between these four that can be listened to and impaired:
//
//	Client ── Near ── gateway A ── Wire ── gateway B ── Far ── Server
//
// Either gateway may be missing; its host is then on the wire itself. Somebody in the middle may end tcpcrypt towards either side:
//
//		... gateway A ── Wire ── gateway ToA ── Middle ── gateway ToB ── Beyond ── gateway B ...
//
//	 The gateways are whole ones (package gateway with its
//
// segment, package server as the control plane) but for their process and their ports, which are memory ports.
//
// It is a test helper: what goes wrong while something is built fails the test, everything is gone when the test ends, and a
// test that failed gets the last packets of every link and the gateways' counters into its log. It models no bandwidth.
package hosts
