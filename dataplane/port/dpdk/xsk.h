#ifndef LINECRYPT_DPDK_XSK_H
#define LINECRYPT_DPDK_XSK_H

#include <rte_mempool.h>

/*
 * lc_xsk_reclaim gives the buffers in the four rings of an AF_XDP socket back to their pool, and returns how many there were. The
 * driver forgets them when it closes the socket. Nobody polls the socket any more, and no XDP program brings packets to it. Where
 * the interface's driver works on the rings by itself (zero copy), it does so only if always says that there is no such driver any
 * more.
 */
unsigned int lc_xsk_reclaim(int fd, struct rte_mempool *mp, int always);

#endif
