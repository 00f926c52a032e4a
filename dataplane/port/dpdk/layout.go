//go:build dpdk && cgo

package dpdk

/*
#include <stddef.h>
#include <rte_mbuf.h>

enum {
	LC_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	LC_BUF_IOVA = offsetof(struct rte_mbuf, buf_iova),
	LC_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	LC_REFCNT = offsetof(struct rte_mbuf, refcnt),
	LC_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	LC_PORT = offsetof(struct rte_mbuf, port),
	LC_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
	LC_PACKET_TYPE = offsetof(struct rte_mbuf, packet_type),
	LC_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	LC_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	LC_VLAN_TCI = offsetof(struct rte_mbuf, vlan_tci),
	LC_HASH_RSS = offsetof(struct rte_mbuf, hash.rss),
	LC_VLAN_TCI_OUTER = offsetof(struct rte_mbuf, vlan_tci_outer),
	LC_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
	LC_POOL = offsetof(struct rte_mbuf, pool),
	LC_NEXT = offsetof(struct rte_mbuf, next),
	LC_TX_OFFLOAD = offsetof(struct rte_mbuf, tx_offload),
	LC_SHINFO = offsetof(struct rte_mbuf, shinfo),
	LC_PRIV_SIZE = offsetof(struct rte_mbuf, priv_size),
	LC_TIMESYNC = offsetof(struct rte_mbuf, timesync),
	LC_DYNFIELD = offsetof(struct rte_mbuf, dynfield1),
	LC_SIZE = sizeof(struct rte_mbuf),
	LC_HEADROOM = RTE_PKTMBUF_HEADROOM,
};

// The flags' bit numbers; the flags themselves are wider than an enum.
enum {
	LC_RX_L4_BAD = __builtin_ctzll(RTE_MBUF_F_RX_L4_CKSUM_BAD),
	LC_RX_IP_BAD = __builtin_ctzll(RTE_MBUF_F_RX_IP_CKSUM_BAD),
	LC_RX_IP_GOOD = __builtin_ctzll(RTE_MBUF_F_RX_IP_CKSUM_GOOD),
	LC_RX_L4_GOOD = __builtin_ctzll(RTE_MBUF_F_RX_L4_CKSUM_GOOD),
	LC_TX_TCP = __builtin_ctzll(RTE_MBUF_F_TX_TCP_CKSUM),
	LC_TX_UDP = RTE_MBUF_F_TX_UDP_CKSUM >> __builtin_ctzll(RTE_MBUF_F_TX_TCP_CKSUM),
	LC_TX_IP = __builtin_ctzll(RTE_MBUF_F_TX_IP_CKSUM),
	LC_TX_IPV4 = __builtin_ctzll(RTE_MBUF_F_TX_IPV4),
	LC_TX_IPV6 = __builtin_ctzll(RTE_MBUF_F_TX_IPV6),
};
*/
import "C"

import (
	"unsafe"

	"linecrypt/dataplane/mbuf"
)

// Each line fails to compile when Go's view of a buffer is not C's: an array of any other length than zero has another type.
var (
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.BufAddr) - C.LC_BUF_ADDR]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.BufIOVA) - C.LC_BUF_IOVA]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.BufIOVA) + 8 - C.LC_DATA_OFF]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.NbSegs) - 2 - C.LC_REFCNT]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.NbSegs) - C.LC_NB_SEGS]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.Port) - C.LC_PORT]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.OlFlags) - C.LC_OL_FLAGS]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.PacketType) - C.LC_PACKET_TYPE]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.PktLen) - C.LC_PKT_LEN]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.DataLen) - C.LC_DATA_LEN]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.VlanTCI) - C.LC_VLAN_TCI]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.HashLo) - C.LC_HASH_RSS]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.VlanTCIOuter) - C.LC_VLAN_TCI_OUTER]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.BufLen) - C.LC_BUF_LEN]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.PoolPtr) - C.LC_POOL]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.Next) - C.LC_NEXT]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.TxOffload) - C.LC_TX_OFFLOAD]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.ShInfo) - C.LC_SHINFO]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.PrivSize) - C.LC_PRIV_SIZE]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.TimeSync) - C.LC_TIMESYNC]byte{}
	_ [0]byte = [unsafe.Offsetof(mbuf.Mbuf{}.DynField) - C.LC_DYNFIELD]byte{}
	_ [0]byte = [mbuf.StructSize - C.LC_SIZE]byte{}
	_ [0]byte = [mbuf.Headroom - C.LC_HEADROOM]byte{}

	_ [0]byte = [mbuf.RxL4CksumBad ^ 1<<C.LC_RX_L4_BAD]byte{}
	_ [0]byte = [mbuf.RxIPCksumBad ^ 1<<C.LC_RX_IP_BAD]byte{}
	_ [0]byte = [mbuf.RxIPCksumGood ^ 1<<C.LC_RX_IP_GOOD]byte{}
	_ [0]byte = [mbuf.RxL4CksumGood ^ 1<<C.LC_RX_L4_GOOD]byte{}
	_ [0]byte = [mbuf.TxTCPCksum ^ 1<<C.LC_TX_TCP]byte{}
	_ [0]byte = [mbuf.TxUDPCksum ^ C.LC_TX_UDP<<C.LC_TX_TCP]byte{}
	_ [0]byte = [mbuf.TxIPCksum ^ 1<<C.LC_TX_IP]byte{}
	_ [0]byte = [mbuf.TxIPv4 ^ 1<<C.LC_TX_IPV4]byte{}
	_ [0]byte = [mbuf.TxIPv6 ^ 1<<C.LC_TX_IPV6]byte{}
)
