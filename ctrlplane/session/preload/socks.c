/* What was set for a descriptor. One that was closed behind our back (dup2, close_range) is told by the number of its socket. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 256
#define PAGES 4096

static struct sock *socks[PAGES];
static pthread_mutex_t socks_lock = PTHREAD_MUTEX_INITIALIZER;

static pid_t owner; /* whose descriptors these are: a child of vfork() has others, and the same memory */

static void socks_prepare(void) { pthread_mutex_lock(&socks_lock); }
static void socks_release(void) { pthread_mutex_unlock(&socks_lock); }

static void socks_child(void)
{
	owner = getpid();
	pthread_mutex_unlock(&socks_lock);
}

__attribute__((constructor)) static void socks_begin(void)
{
	owner = getpid();
	pthread_atfork(socks_prepare, socks_release, socks_child);
}

static uint64_t inode(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* sock_at returns the place of a descriptor, NULL where nothing was set and none is to be made. The lock is held. */
static struct sock *sock_at(int fd, int make)
{
	if (fd < 0 || fd >= PAGE * PAGES)
		return NULL;
	struct sock **page = &socks[fd / PAGE];
	if (!*page && make)
		*page = calloc(PAGE, sizeof **page);
	return *page ? &(*page)[fd % PAGE] : NULL;
}

/* unused says that nothing was set for a descriptor, nor for those near it; it takes no lock. */
static int unused(int fd) { return fd < 0 || fd >= PAGE * PAGES || !__atomic_load_n(&socks[fd / PAGE], __ATOMIC_RELAXED); }

struct sock get_sock(int fd)
{
	struct sock s = { .vlan = ANY_VLAN };
	if (unused(fd))
		return s;
	pthread_mutex_lock(&socks_lock);
	struct sock *at = sock_at(fd, 0);
	if (at && at->inode && at->inode == inode(fd))
		s = *at;
	pthread_mutex_unlock(&socks_lock);
	return s;
}

int put_sock(int fd, struct sock s)
{
	uint32_t stale = 0, stale_fresh = 0;
	uint64_t now = inode(fd);
	pthread_mutex_lock(&socks_lock);
	struct sock *at = sock_at(fd, 1);
	if (at) {
		if (at->inode != now)
			stale = at->token, stale_fresh = at->fresh_token;
		*at = s;
		at->inode = now;
	}
	pthread_mutex_unlock(&socks_lock);
	if (stale)
		aware_clear(stale);
	if (stale_fresh)
		aware_clear(stale_fresh);
	if (at)
		return 0;
	errno = ENOBUFS;
	return -1;
}

void forget(int fd)
{
	uint32_t token = 0, fresh_token = 0;
	if (unused(fd) || getpid() != owner)
		return;
	pthread_mutex_lock(&socks_lock);
	struct sock *at = sock_at(fd, 0);
	if (at) {
		token = at->token;
		fresh_token = at->fresh_token;
		memset(at, 0, sizeof *at);
	}
	pthread_mutex_unlock(&socks_lock);
	if (token)
		aware_clear(token);
	if (fresh_token)
		aware_clear(fresh_token);
}

void each_announced(void (*f)(int fd))
{
	for (int fd = 0; fd < PAGE * PAGES; fd++) {
		if (unused(fd)) {
			fd += PAGE - 1;
			continue;
		}
		pthread_mutex_lock(&socks_lock);
		struct sock *at = sock_at(fd, 0);
		int announced = at->token || at->fresh_token;
		pthread_mutex_unlock(&socks_lock);
		if (announced)
			f(fd);
	}
}
