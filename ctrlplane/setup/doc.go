// Package setup changes a machine so that DPDK can run on it: it gives a NIC to a driver that DPDK works through and takes it back, and keeps
// that and the reservation of huge pages over reboots.
//
// Everything is planned first, as steps that each say what they change, and refused before the first one where it would cost the way by
// which somebody is logged in. All files are looked for below a root, which is "/" but for tests.
package setup
