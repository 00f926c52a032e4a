#ifndef LINECRYPT_DPDK_MEMPOOL_H
#define LINECRYPT_DPDK_MEMPOOL_H

#include <rte_mempool.h>

/* lc_pool_create makes a pool of n packet buffers in one piece of memory; NULL with errno on failure. */
struct rte_mempool *lc_pool_create(const char *name, unsigned int n, unsigned int cache, uint16_t data_room);

/* lc_pool_gauge stores where the pool's ring keeps its producer and consumer counters; their difference is its fill. */
void lc_pool_gauge(const struct rte_mempool *mp, const volatile uint32_t **prod, const volatile uint32_t **cons);

/* lc_pool_ops is the handler that keeps the free buffers; lc_pool_gauge knows the ring handlers alone. */
#define LC_POOL_OPS "ring_mp_mc"

/* Both pass by the per-thread cache: the caller has one of its own. */
static inline int
lc_pool_get(uintptr_t mp, uintptr_t objs, unsigned int n)
{
	return rte_mempool_generic_get((struct rte_mempool *)mp, (void **)objs, n, NULL);
}

static inline void
lc_pool_put(uintptr_t mp, uintptr_t objs, unsigned int n)
{
	rte_mempool_generic_put((struct rte_mempool *)mp, (void *const *)objs, n, NULL);
}

#endif
