/* The calls of the program: getsockopt, setsockopt, connect, listen and close. All but our own options go on to the C library. */
#define _GNU_SOURCE
#include "internal.h"

#include "linecrypt_tcpcrypt.h"

#include <errno.h>

#define EXPORT __attribute__((visibility("default")))

static int ours(int level, int name)
{
	return level == IPPROTO_TCP && ((name >= TCP_ENO_SESSID && name <= TCP_ENO_TRANSCRIPT) ||
	                                (name >= TCP_CRYPT_SESSIONID && name <= TCP_CRYPT_RESUME));
}

EXPORT int getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	if (ours(level, name))
		return get_option(fd, name, value, len);
	int r = real_getsockopt(fd, level, name, value, len);
	int why = errno;
	if (level == SOL_SOCKET && name == SO_ERROR)
		settle(fd); /* so programs ask what became of a connect() that did not wait */
	errno = why;
	return r;
}

EXPORT int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (!ours(level, name))
		return real_setsockopt(fd, level, name, value, len);
	return set_option(fd, name, value, len);
}

EXPORT int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	if (!addr || (addr->sa_family != AF_INET && addr->sa_family != AF_INET6))
		return real_connect(fd, addr, len);
	if (announce(fd) != 0)
		return -1;
	int r = real_connect(fd, addr, len);
	int why = errno;
	if (r == 0 || (why != EINPROGRESS && why != EINTR && why != EALREADY))
		withdraw(fd); /* the SYN has been answered, or there is none */
	errno = why;
	return r;
}

EXPORT int listen(int fd, int backlog)
{
	if (announce(fd) != 0)
		return -1;
	int r = real_listen(fd, backlog);
	int why = errno;
	if (r != 0)
		withdraw(fd);
	errno = why;
	return r;
}

EXPORT int close(int fd)
{
	int why = errno;
	forget(fd);
	errno = why;
	return real_close(fd);
}
