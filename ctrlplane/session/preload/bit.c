/* The application-aware bit of a socket, from setsockopt() until the SYN. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <string.h>

/* loopback tells addresses of which no gateway sees a packet. */
static int loopback(const struct endpoint *e)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff }, six[16] = { [15] = 1 };
	return !memcmp(e->addr, six, 16) || (!memcmp(e->addr, mapped, 12) && e->addr[12] == 127);
}

/* have_port gives a socket a port of its own, which the control plane can be told before the SYN leaves. */
static int have_port(int fd, struct endpoint *e)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	int off = 0;
	if (local_of(fd, e) != 0 || e->port)
		return e->port ? 0 : -1;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
		return -1;
	real_setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &off, sizeof off); /* in which an address is kept and a port is not */
	return bind(fd, (struct sockaddr *)&sa, len) != 0 ? -1 : local_of(fd, e);
}

int announce(int fd)
{
	struct endpoint e;
	struct sock s = get_sock(fd);
	if (!s.aware || s.token)
		return 0;
	if (have_port(fd, &e) != 0)
		return -1;
	if (loopback(&e))
		return 0;
	s.token = aware_set(&e);
	return s.token ? put_sock(fd, s) : -1;
}

void withdraw(int fd)
{
	struct sock s = get_sock(fd);
	if (!s.token)
		return;
	aware_clear(s.token);
	s.token = 0;
	put_sock(fd, s);
}

static int connected(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	return getpeername(fd, (struct sockaddr *)&sa, &len) == 0;
}

int set_aware(int fd, int on)
{
	int listening = 0;
	socklen_t len = sizeof listening;
	struct sock s = get_sock(fd);
	if (on != 0 && on != 1)
		return fail(EINVAL);
	if (connected(fd))
		return fail(EISCONN);
	if (on && aware_possible() != 0)
		return -1;
	s.aware = on;
	if (put_sock(fd, s) != 0)
		return -1;
	if (!on) {
		withdraw(fd);
		return 0;
	}
	if (real_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening)
		return announce(fd);
	return 0;
}

