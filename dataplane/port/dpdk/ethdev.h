#ifndef LINECRYPT_DPDK_ETHDEV_H
#define LINECRYPT_DPDK_ETHDEV_H

#include <rte_ethdev.h>

/* What a device is asked for and what it turned out to do. */
struct lc_dev {
	uint16_t port;
	uint16_t queues;
	uint16_t mtu; /* 0: the driver's own */

	uint16_t max_queues, max_mtu, rx_ring, tx_ring;
	int rss, rx_cksum, tx_ip_cksum, tx_tcp_cksum;
	unsigned int if_index; /* of the kernel's interface that it comes with, 0 for none */
	const char *driver;
	const char *step; /* what failed */
};

/* Each returns 0 or a negative errno. */
int lc_dev_probe(const char *devargs, const char *name, uint16_t *port);
int lc_dev_examine(struct lc_dev *d);
int lc_dev_configure(struct lc_dev *d);
int lc_dev_queue(struct lc_dev *d, uint16_t queue, struct rte_mempool *pool);
int lc_dev_start(struct lc_dev *d);
int lc_dev_close(uint16_t port);
int lc_dev_link(uint16_t port);

#endif
