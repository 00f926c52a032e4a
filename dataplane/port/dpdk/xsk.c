//go:build dpdk && cgo

#include "xsk.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <linux/if_xdp.h>

#include <rte_mbuf.h>

#ifndef SOL_XDP
#define SOL_XDP 283
#endif

/* A ring as it lies in memory: indices that only grow, and entries. */
struct ring {
	uint64_t pgoff;
	const struct xdp_ring_offset *at;
	size_t entry;
};

/*
 * In net_af_xdp an entry holds the place of an object of the pool from the start of its memory, and above that the place of the
 * packet in the object (XSK_UNALIGNED_BUF_ADDR_MASK).
 */
static struct rte_mbuf *
buffer_at(struct rte_mempool *mp, uint64_t addr)
{
	struct rte_mempool_memhdr *chunk = STAILQ_FIRST(&mp->mem_list);
	size_t object = mp->header_size + mp->elt_size + mp->trailer_size;

	addr &= XSK_UNALIGNED_BUF_ADDR_MASK;
	if (chunk == NULL || addr % object != 0 || addr / object >= mp->size)
		return NULL;
	return (struct rte_mbuf *)((char *)chunk->addr + addr + mp->header_size);
}

static unsigned int
drain(struct rte_mempool *mp, char *base, size_t len, const struct ring *r)
{
	uint32_t size = 1, cons, prod, n = 0;

	/* The mapping ends with the entries, rounded up to a page; there is a power of two of them. */
	if (r->at->desc >= len)
		return 0;
	while ((uint64_t)size * 2 * r->entry <= len - r->at->desc)
		size *= 2;
	cons = *(volatile uint32_t *)(base + r->at->consumer);
	prod = *(volatile uint32_t *)(base + r->at->producer);
	if (prod - cons > size)
		return 0;
	for (; cons != prod; cons++) {
		struct rte_mbuf *m = buffer_at(mp, *(uint64_t *)(base + r->at->desc + (cons & (size - 1)) * r->entry));

		if (m != NULL) {
			rte_pktmbuf_free(m);
			n++;
		}
	}
	return n;
}

unsigned int
lc_xsk_reclaim(int fd, struct rte_mempool *mp, int always)
{
	struct xdp_options options = {0};
	socklen_t options_len = sizeof(options);
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	unsigned int n = 0;
	struct stat st;
	char line[512];
	FILE *maps;

	if (fstat(fd, &st) != 0 || getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len) != 0 || len != sizeof(off))
		return 0;
	if (!always && (getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &options_len) != 0 || options.flags & XDP_OPTIONS_ZEROCOPY))
		return 0;
	maps = fopen("/proc/self/maps", "re");
	if (maps == NULL)
		return 0;
	while (fgets(line, sizeof(line), maps) != NULL) {
		const struct ring rings[] = {
			{XDP_PGOFF_RX_RING, &off.rx, sizeof(struct xdp_desc)},
			{XDP_PGOFF_TX_RING, &off.tx, sizeof(struct xdp_desc)},
			{XDP_UMEM_PGOFF_FILL_RING, &off.fr, sizeof(uint64_t)},
			{XDP_UMEM_PGOFF_COMPLETION_RING, &off.cr, sizeof(uint64_t)},
		};
		uint64_t from, to, pgoff, inode;
		unsigned int i;

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %" SCNu64, &from, &to, &pgoff, &inode) != 4 ||
		    inode != st.st_ino)
			continue;
		for (i = 0; i < RTE_DIM(rings); i++)
			if (rings[i].pgoff == pgoff)
				n += drain(mp, (char *)(uintptr_t)from, to - from, &rings[i]);
	}
	fclose(maps);
	return n;
}
