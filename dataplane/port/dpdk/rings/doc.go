// Package rings joins two DPDK ports of one process back to back by DPDK's own rings (the driver net_ring), with several queues: for
// tests of what several workers do over DPDK ports, without a device or a kernel, and for `linecrypt bench run`. The gateway's own
// programs do not import it, so that they need not be linked with the driver.
package rings
