#ifndef LINECRYPT_DPDK_QUEUE_H
#define LINECRYPT_DPDK_QUEUE_H

#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>

/* After so many empty polls in a row a queue looks for completed transmissions. */
#define LC_REAP_INTERVAL 1024

/* One receive and one transmit queue of a device. */
struct lc_ring {
	uint16_t port;
	uint16_t queue;
	uint8_t prepare; /* the device computes checksums: its driver wants to see packets beforehand */
	uint8_t reap;    /* the driver takes back sent buffers only when it is asked to send */
	uint32_t idle;
};

/*
 * What one thread polls at a time: rings of one device, or of several devices on one interface. It sends on the first. Without any it
 * receives nothing and drops what it is to send.
 */
struct lc_queue {
	uint16_t rings;
	uint16_t turn;  /* the ring that is polled first */
	/* Written by the polling thread alone, read by others. */
	uint64_t super_packets;
	uint64_t truncated;
	uint64_t tx_refused;
	struct lc_ring ring[];
};

static inline void
lc_count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* This thread was made known to DPDK, or cannot be. It belongs to the thread, because workers may take turns at a queue. */
static __thread uint8_t lc_joined;

/* A thread known to DPDK has its own cache of free buffers, which drivers take from and give to one at a time. */
static inline void
lc_join(void)
{
	lc_joined = 1;
	if (rte_lcore_id() == LCORE_ID_ANY)
		(void)rte_thread_register();
}

/* lc_repair makes m one whole Ethernet frame in one buffer, or counts why not and frees it. */
static inline int
lc_repair(struct lc_queue *q, struct rte_mbuf *m)
{
	if (m->nb_segs > 1 && rte_pktmbuf_linearize(m) != 0) {
		lc_count(&q->super_packets);
		rte_pktmbuf_free(m);
		return 0;
	}
	/* Some drivers always take the tag out of the frame. */
	if (m->data_len < RTE_ETHER_HDR_LEN || ((m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) && rte_vlan_insert(&m) != 0)) {
		lc_count(&q->truncated);
		rte_pktmbuf_free(m);
		return 0;
	}
	return 1;
}

static inline uint16_t
lc_rx_ring(struct lc_queue *q, struct lc_ring *r, struct rte_mbuf **pkts, uint16_t want)
{
	uint16_t i, kept = 0, n = rte_eth_rx_burst(r->port, r->queue, pkts, want);

	if (n == 0) {
		if (r->reap && ++r->idle >= LC_REAP_INTERVAL) {
			r->idle = 0;
			(void)rte_eth_tx_burst(r->port, r->queue, pkts, 0);
		}
		return 0;
	}
	r->idle = 0;
	for (i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];

		if (likely(m->nb_segs == 1 && m->data_len >= RTE_ETHER_HDR_LEN &&
		           !(m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED)) || lc_repair(q, m))
			pkts[kept++] = m;
	}
	return kept;
}

static inline uint16_t
lc_rx(uintptr_t handle, uintptr_t bufs, uint16_t want)
{
	struct lc_queue *q = (struct lc_queue *)handle;
	struct rte_mbuf **pkts = (struct rte_mbuf **)bufs;
	uint16_t i, n = 0;

	if (unlikely(!lc_joined))
		lc_join();
	if (likely(q->rings == 1))
		return lc_rx_ring(q, &q->ring[0], pkts, want);
	/* Each is the first in its turn, so that a full one does not keep the others waiting. */
	for (i = 0; i < q->rings && n < want; i++)
		n += lc_rx_ring(q, &q->ring[(q->turn + i) % q->rings], pkts + n, want - n);
	q->turn++;
	return n;
}

/* A packet that the driver refuses is dropped: kept, it would block those behind it for ever. */
static inline uint16_t
lc_tx_prepared(struct lc_queue *q, struct lc_ring *r, struct rte_mbuf **pkts, uint16_t n)
{
	uint16_t done = 0;

	while (done < n) {
		uint16_t fit = rte_eth_tx_prepare(r->port, r->queue, pkts + done, n - done);
		uint16_t sent = fit ? rte_eth_tx_burst(r->port, r->queue, pkts + done, fit) : 0;

		done += sent;
		if (sent < fit)
			break;
		if (done < n) {
			rte_pktmbuf_free(pkts[done++]);
			lc_count(&q->tx_refused);
		}
	}
	return done;
}

static inline uint16_t
lc_tx(uintptr_t handle, uintptr_t bufs, uint16_t n)
{
	struct lc_queue *q = (struct lc_queue *)handle;
	struct rte_mbuf **pkts = (struct rte_mbuf **)bufs;
	uint16_t i;

	if (unlikely(!lc_joined))
		lc_join();
	if (unlikely(q->rings == 0)) {
		for (i = 0; i < n; i++) {
			rte_pktmbuf_free(pkts[i]);
			lc_count(&q->tx_refused);
		}
		return n;
	}
	if (q->ring[0].prepare)
		return lc_tx_prepared(q, &q->ring[0], pkts, n);
	return rte_eth_tx_burst(q->ring[0].port, q->ring[0].queue, pkts, n);
}

#endif
