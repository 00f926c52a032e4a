//go:build dpdk && cgo

package dpdk

// The flags are written out, not asked of pkg-config: libdpdk-dev does not bring pkg-config with it. They are Debian's;
// CGO_CFLAGS and CGO_LDFLAGS add the places of a DPDK that lies elsewhere. Drivers are plugins that EAL loads from the
// directory it was built for.

// #cgo CFLAGS: -O2 -I/usr/include/dpdk -include rte_config.h
// #cgo amd64 CFLAGS: -I/usr/include/x86_64-linux-gnu/dpdk -march=corei7
// #cgo arm64 CFLAGS: -I/usr/include/aarch64-linux-gnu/dpdk -march=armv8-a+crc
// #cgo LDFLAGS: -lrte_eal -lrte_ethdev -lrte_mempool -lrte_mbuf -lrte_net -lrte_ring
import "C"
