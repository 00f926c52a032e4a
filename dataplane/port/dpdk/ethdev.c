//go:build dpdk && cgo

#include "ethdev.h"

#include <string.h>

#include <rte_dev.h>

#define LC_RING_SIZE 1024
#define LC_RSS_KEY_MAX 128

int
lc_dev_probe(const char *devargs, const char *name, uint16_t *port)
{
	struct rte_dev_iterator it;
	int rc = rte_dev_probe(devargs);

	if (rc < 0)
		return rc;
	if (rte_eth_dev_get_port_by_name(name, port) == 0)
		return 0;
	/* A physical device may give its port a name of its own. */
	if (rte_eth_iterator_init(&it, devargs) == 0) {
		*port = rte_eth_iterator_next(&it);
		if (*port != RTE_MAX_ETHPORTS) {
			rte_eth_iterator_cleanup(&it);
			return 0;
		}
	}
	return -ENODEV;
}

/*
 * The Toeplitz hash is symmetric in sources and destinations when its key repeats every 16 bits; 0x6d5a is the one that
 * spreads well (Woo and Park, "Scalable TCP session monitoring with symmetric receive-side scaling").
 */
static void
want_rss(const struct rte_eth_dev_info *info, struct rte_eth_conf *conf, uint8_t *key)
{
	uint64_t hf = info->flow_type_rss_offloads & (RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP);
	unsigned int i;

	if (hf == 0 || info->hash_key_size > LC_RSS_KEY_MAX)
		return;
	for (i = 0; i < LC_RSS_KEY_MAX; i += 2) {
		key[i] = 0x6d;
		key[i + 1] = 0x5a;
	}
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf.rss_hf = hf;
	conf->rx_adv_conf.rss_conf.rss_key = key;
	conf->rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size ? info->hash_key_size : 40;
}

static void
want_offloads(const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	const uint64_t rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;

	if ((info->rx_offload_capa & rx) == rx)
		conf->rxmode.offloads |= rx;
	/* Not MBUF_FAST_FREE: buffers with further references are sent. */
	conf->txmode.offloads |= info->tx_offload_capa & (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM);
}

/* The largest MTU that rte_eth_dev_configure takes: it counts the frame as the driver does where that tells, else with a checksum. */
static uint16_t
largest_mtu(const struct rte_eth_dev_info *info)
{
	const uint32_t overhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;

	if (info->max_mtu != UINT16_MAX || info->max_rx_pktlen >= UINT16_MAX + overhead)
		return info->max_mtu;
	return info->max_rx_pktlen > overhead ? info->max_rx_pktlen - overhead : 0;
}

int
lc_dev_examine(struct lc_dev *d)
{
	struct rte_eth_dev_info info;
	int rc;

	d->step = "read what it can do";
	rc = rte_eth_dev_info_get(d->port, &info);
	if (rc < 0)
		return rc;
	d->driver = info.driver_name;
	d->if_index = info.if_index;
	d->max_queues = RTE_MIN(info.max_rx_queues, info.max_tx_queues);
	d->max_mtu = largest_mtu(&info);
	return 0;
}

int
lc_dev_configure(struct lc_dev *d)
{
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	uint8_t key[LC_RSS_KEY_MAX];
	int rc;

	d->step = "configure";
	rc = rte_eth_dev_info_get(d->port, &info);
	if (rc < 0)
		return rc;
	/* Buffers hold a whole frame of that size, so none is scattered over several. */
	conf.rxmode.mtu = d->mtu;
	if (d->queues > 1)
		want_rss(&info, &conf, key);
	want_offloads(&info, &conf);
	rc = rte_eth_dev_configure(d->port, d->queues, d->queues, &conf);
	if (rc < 0)
		return rc;
	d->rss = conf.rxmode.mq_mode == RTE_ETH_MQ_RX_RSS;
	d->rx_cksum = conf.rxmode.offloads != 0;
	d->tx_ip_cksum = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_IPV4_CKSUM) != 0;
	d->tx_tcp_cksum = (conf.txmode.offloads & RTE_ETH_TX_OFFLOAD_TCP_CKSUM) != 0;
	d->rx_ring = info.default_rxportconf.ring_size ? info.default_rxportconf.ring_size : LC_RING_SIZE;
	d->tx_ring = info.default_txportconf.ring_size ? info.default_txportconf.ring_size : LC_RING_SIZE;
	d->step = "size its rings";
	return rte_eth_dev_adjust_nb_rx_tx_desc(d->port, &d->rx_ring, &d->tx_ring);
}

int
lc_dev_queue(struct lc_dev *d, uint16_t queue, struct rte_mempool *pool)
{
	int socket = rte_eth_dev_socket_id(d->port), rc;

	/* Without a configuration of its own a queue takes the driver's defaults and the device's offloads. */
	d->step = "set up a receive queue";
	rc = rte_eth_rx_queue_setup(d->port, queue, d->rx_ring, socket, NULL, pool);
	if (rc < 0)
		return rc;
	d->step = "set up a transmit queue";
	return rte_eth_tx_queue_setup(d->port, queue, d->tx_ring, socket, NULL);
}

int
lc_dev_start(struct lc_dev *d)
{
	int rc;

	d->step = "start";
	rc = rte_eth_dev_start(d->port);
	if (rc < 0)
		return rc;
	d->step = "make promiscuous";
	rc = rte_eth_promiscuous_enable(d->port);
	/* net_null, net_ring and net_pcap have no addresses to filter by. */
	return rc == -ENOTSUP ? 0 : rc;
}

int
lc_dev_close(uint16_t port)
{
	struct rte_eth_dev_info info;
	int rc = rte_eth_dev_info_get(port, &info), closed;

	(void)rte_eth_dev_stop(port);
	closed = rte_eth_dev_close(port);
	if (rc == 0)
		rc = rte_dev_remove(info.device);
	return closed < 0 ? closed : rc;
}

int
lc_dev_link(uint16_t port)
{
	struct rte_eth_link link = {0};

	return rte_eth_link_get_nowait(port, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}
