/* The calls of the C library, which ours stand before. */
#define _GNU_SOURCE
#include "internal.h"

#include <dlfcn.h>
#include <stdlib.h>

/* next returns the C library's function. It has all of them; a process that lost them could go nowhere. */
static void *next(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);
	if (!f)
		abort();
	return f;
}

#define NEXT(result, name, ...)                                                   \
	static result (*name##_next)(__VA_ARGS__);                                \
	if (!__atomic_load_n(&name##_next, __ATOMIC_RELAXED))                     \
		__atomic_store_n(&name##_next, (result (*)(__VA_ARGS__))next(#name), __ATOMIC_RELAXED);

int real_close(int fd)
{
	NEXT(int, close, int)
	return close_next(fd);
}

int real_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	NEXT(int, connect, int, const struct sockaddr *, socklen_t)
	return connect_next(fd, addr, len);
}

int real_listen(int fd, int backlog)
{
	NEXT(int, listen, int, int)
	return listen_next(fd, backlog);
}

int real_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	NEXT(int, getsockopt, int, int, int, void *, socklen_t *)
	return getsockopt_next(fd, level, name, value, len);
}

int real_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	NEXT(int, setsockopt, int, int, int, const void *, socklen_t)
	return setsockopt_next(fd, level, name, value, len);
}

