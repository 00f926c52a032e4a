// Package rings holds the end-to-end test of gateways with two workers whose ports are DPDK's: two stacks of gVisor, two gateways, and
// rings of DPDK between these. It has a package of its own because EAL is one for a process.
package rings
