//go:build dpdk && cgo

#include "mempool.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_memzone.h>
#include <rte_ring.h>

/* Plaintext passes through the buffers, so they stay out of core dumps. */
static void
no_dump(struct rte_mempool *mp, void *opaque, struct rte_mempool_memhdr *chunk, unsigned int i)
{
	uintptr_t page = sysconf(_SC_PAGESIZE), from = RTE_ALIGN_CEIL((uintptr_t)chunk->addr, page);
	uintptr_t to = RTE_ALIGN_FLOOR((uintptr_t)chunk->addr + chunk->len, page);

	(void)mp, (void)opaque, (void)i;
	if (from < to)
		madvise((void *)from, to - from, MADV_DONTDUMP);
}

/*
 * net_af_xdp takes the pool for an array of equal objects from the first to the last, but DPDK's own placing leaves a gap
 * before each page boundary that an object would cross: in 4 KiB pages most of the pool would lie outside its UMEM, and in
 * huge pages the end of it. Where devices use virtual addresses a boundary means nothing, so the objects are packed.
 */
static int
populate_packed(struct rte_mempool *mp)
{
	size_t size = (size_t)mp->size * (mp->header_size + mp->elt_size + mp->trailer_size);
	char name[RTE_MEMZONE_NAMESIZE];
	const struct rte_memzone *mz;

	if (snprintf(name, sizeof(name), "lc_%s", mp->name) >= (int)sizeof(name))
		return -ENAMETOOLONG;
	mz = rte_memzone_reserve_aligned(name, size, mp->socket_id, RTE_MEMZONE_1GB | RTE_MEMZONE_SIZE_HINT_ONLY,
	                                 sysconf(_SC_PAGESIZE));
	if (mz == NULL)
		return -rte_errno;
	return rte_mempool_populate_iova(mp, mz->addr, mz->iova, mz->len, NULL, NULL);
}

struct rte_mempool *
lc_pool_create(const char *name, unsigned int n, unsigned int cache, uint16_t data_room)
{
	struct rte_pktmbuf_pool_private priv = {.mbuf_data_room_size = RTE_PKTMBUF_HEADROOM + data_room};
	unsigned int elt = sizeof(struct rte_mbuf) + priv.mbuf_data_room_size;
	int packed = rte_eal_iova_mode() == RTE_IOVA_VA, rc;
	struct rte_mempool *mp;

	mp = rte_mempool_create_empty(name, n, elt, cache, sizeof(priv), SOCKET_ID_ANY,
	                              packed ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0);
	if (mp == NULL) {
		errno = rte_errno;
		return NULL;
	}
	rc = rte_mempool_set_ops_byname(mp, LC_POOL_OPS, NULL);
	if (rc == 0) {
		rte_pktmbuf_pool_init(mp, &priv);
		rc = packed ? populate_packed(mp) : rte_mempool_populate_default(mp);
	}
	if (rc >= 0 && mp->populated_size != n)
		rc = -ENOMEM;
	if (rc < 0) {
		rte_mempool_free(mp);
		errno = -rc;
		return NULL;
	}
	rte_mempool_obj_iter(mp, rte_pktmbuf_init, NULL);
	rte_mempool_mem_iter(mp, no_dump, NULL);
	return mp;
}

void
lc_pool_gauge(const struct rte_mempool *mp, const volatile uint32_t **prod, const volatile uint32_t **cons)
{
	const struct rte_ring *r = mp->pool_data;

	*prod = &r->prod.tail;
	*cons = &r->cons.tail;
}
