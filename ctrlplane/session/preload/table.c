/*
 * The session table, which a control plane writes and whoever may read it maps: ctrlplane/sessiontable/file.go and slot.go. A page of
 * header, then slots of 192 bytes. A slot is 8 bytes of sequence number (odd while it is written) and checksum, and 23 words:
 *
 *	byte 0  1 used, 0 never used (a search ends), 2 to be passed over      8   inside address      44  VLAN
 *	     1  bits: 1 opener, 2 resumed, 4 own aware, 8 peer aware          24  outside address     64  session ID
 *	     2  role: 1 A, 2 B     3  TEP byte     4  AEAD (16 bits)          40  inside port         97  authentication
 *	                                                                      42  outside port       104  ENO option of A, 144 of B
 *
 * An entry lies within 512 slots of the place that the keyed hash of its addresses and ports names; VLANs are not in the hash.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x6e6f69737365736cull
#define VERSION 4
#define HEADER 4096
#define SLOT 192
#define WORDS 23
#define PROBES 512
#define READ_TRIES 64
#define SEARCH_TRIES 16
#define MAX_CAPACITY (1ull << 27)

struct header {
	uint64_t magic;
	uint32_t version, slot_size;
	uint64_t capacity, slots;
	uint8_t instance[16];
	uint64_t key[2];
	uint64_t moves;
};

struct slot {
	uint32_t seq, sum;
	uint64_t words[WORDS];
};

_Static_assert(sizeof(struct slot) == SLOT, "slot");
_Static_assert(offsetof(struct header, moves) == 64, "header");

struct table {
	const struct header *header;
	const struct slot *slots;
	uint64_t count;
	size_t size;
};

static uint64_t word_at(const uint8_t *b)
{
	uint64_t w;
	memcpy(&w, b, sizeof w);
	return w;
}

static uint64_t rotate(uint64_t x, int n) { return n ? x << n | x >> (64 - n) : x; }

/* home is the place of a tuple: tupleHash of slot.go. */
static uint64_t home(const struct table *t, const struct tuple *u)
{
	uint64_t k0 = t->header->key[0], k1 = t->header->key[1], h = k0;
	uint64_t words[5] = {
		word_at(u->local.addr), word_at(u->local.addr + 8), word_at(u->remote.addr), word_at(u->remote.addr + 8),
		u->local.port | (uint64_t)u->remote.port << 16,
	};
	for (int i = 0; i < 5; i++) {
		unsigned __int128 p = (unsigned __int128)(h ^ words[i]) * (rotate(k1, 8 * i) | 1);
		h = (uint64_t)(p >> 64) ^ (uint64_t)p ^ k0;
	}
	h *= 0xc4ceb9fe1a85ec53ull;
	return (uint64_t)((unsigned __int128)h * t->count >> 64);
}

static uint32_t sum(const uint64_t *words)
{
	uint64_t h = 0x9e3779b97f4a7c15ull;
	for (int i = 0; i < WORDS; i++) {
		h = (h ^ words[i]) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
	}
	return (uint32_t)h;
}

/* read_slot copies a slot that is not being written, and gives up after a bounded number of tries. */
static int read_slot(const struct slot *s, uint64_t *words)
{
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t seq = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE);
		if (seq & 1)
			continue;
		for (int w = 0; w < WORDS; w++)
			words[w] = __atomic_load_n(&s->words[w], __ATOMIC_RELAXED);
		uint32_t check = __atomic_load_n(&s->sum, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&s->seq, __ATOMIC_RELAXED) == seq)
			return seq == 0 || check == sum(words);
	}
	return 0;
}

static int is(const uint8_t *b, const struct tuple *u)
{
	uint16_t ports[2];
	uint32_t vlan;
	memcpy(ports, b + 40, sizeof ports);
	memcpy(&vlan, b + 44, sizeof vlan);
	return !memcmp(b + 8, u->local.addr, 16) && !memcmp(b + 24, u->remote.addr, 16) && ports[0] == u->local.port &&
	       ports[1] == u->remote.port && (u->vlan == ANY_VLAN || vlan == u->vlan);
}

static void decode(const uint8_t *b, struct session *s)
{
	uint16_t aead;
	memcpy(&aead, b + 4, sizeof aead);
	s->resumed = b[1] >> 1 & 1;
	s->own_aware = b[1] >> 2 & 1;
	s->peer_aware = b[1] >> 3 & 1;
	s->role = b[2];
	s->tep = b[3];
	s->aead = aead;
	s->auth = b[97];
	memcpy(s->id, b + 64, sizeof s->id);
	memcpy(s->eno_a, b + 104, sizeof s->eno_a);
	memcpy(s->eno_b, b + 144, sizeof s->eno_b);
}

/* search counts the connections of a tuple and copies the last one. */
static int search(const struct table *t, const struct tuple *u, struct session *s)
{
	uint64_t words[WORDS], at = home(t, u);
	int n = 0;
	for (uint64_t i = 0; i < PROBES && i < t->count; i++) {
		if (!read_slot(&t->slots[(at + i) % t->count], words))
			continue;
		const uint8_t *b = (const uint8_t *)words;
		if (b[0] == 0)
			break;
		if (b[0] != 1 || !is(b, u))
			continue;
		decode(b, s);
		n++;
	}
	return n;
}

/* look searches again while the writer moves entries. */
static enum verdict look(const struct table *t, const struct tuple *u, struct session *s)
{
	int n = 0;
	for (int i = 0; i < SEARCH_TRIES; i++) {
		uint64_t moves = __atomic_load_n(&t->header->moves, __ATOMIC_ACQUIRE);
		n = search(t, u, s);
		if (__atomic_load_n(&t->header->moves, __ATOMIC_ACQUIRE) == moves)
			break;
	}
	return n == 0 ? UNKNOWN : n == 1 ? FOUND : AMBIGUOUS;
}

static int valid(struct table *t)
{
	const struct header *h = t->header;
	uint64_t capacity = h->capacity;
	if (h->magic != MAGIC || h->version != VERSION || h->slot_size != SLOT || capacity == 0 || capacity > MAX_CAPACITY)
		return 0;
	t->count = capacity + capacity / 2 + 64;
	t->slots = (const struct slot *)((const uint8_t *)h + HEADER);
	return h->slots == t->count && t->size == HEADER + t->count * SLOT;
}

/* open_table maps a table that nobody but its owner may write. */
static enum verdict open_table(const char *path, struct table *t)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return errno == EACCES || errno == EPERM ? DENIED : errno == ENOENT ? UNKNOWN : UNAVAILABLE;
	struct stat st;
	void *mem = MAP_FAILED;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !(st.st_mode & 022) && st.st_size >= HEADER) {
		t->size = (size_t)st.st_size;
		mem = mmap(NULL, t->size, PROT_READ, MAP_SHARED, fd, 0);
	}
	real_close(fd);
	if (mem == MAP_FAILED)
		return UNAVAILABLE;
	t->header = mem;
	if (valid(t))
		return FOUND;
	munmap(mem, t->size);
	return UNAVAILABLE;
}

enum verdict table_search(const char *path, const struct tuple *t, struct session *s)
{
	struct table table;
	enum verdict v = open_table(path, &table);
	if (v != FOUND)
		return v;
	v = look(&table, t, s);
	munmap((void *)table.header, table.size);
	return v;
}
