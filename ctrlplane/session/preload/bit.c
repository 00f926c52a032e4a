/* What is set for the connections of a socket, from setsockopt() until the SYN: the application-aware bit, and whether they may resume. */
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

/* told is aware_set. Where there is no room it first takes back what is of no use any more. */
static uint32_t told(enum verb verb, const struct endpoint *e)
{
	uint32_t token = aware_set(verb, e);
	if (token || errno != ENOBUFS)
		return token;
	each_announced(settle);
	return aware_set(verb, e);
}

int announce(int fd)
{
	struct endpoint e;
	struct sock s = get_sock(fd);
	int bit = s.aware && !s.token, fresh = s.fresh && !s.fresh_token;
	if (!bit && !fresh)
		return 0;
	if (have_port(fd, &e) != 0)
		return -1;
	if (loopback(&e))
		return 0;
	if (bit && !(s.token = told(VERB_SET_AWARE, &e)))
		return -1;
	if (fresh && !(s.fresh_token = told(VERB_SET_FRESH, &e))) {
		if (bit)
			aware_clear(s.token);
		return -1;
	}
	return put_sock(fd, s);
}

void withdraw(int fd)
{
	struct sock s = get_sock(fd);
	if (!s.token && !s.fresh_token)
		return;
	if (s.token)
		aware_clear(s.token);
	if (s.fresh_token)
		aware_clear(s.fresh_token);
	s.token = s.fresh_token = 0;
	put_sock(fd, s);
}

static int connected(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	return getpeername(fd, (struct sockaddr *)&sa, &len) == 0;
}

void settle(int fd)
{
	struct sock s = get_sock(fd);
	if ((s.token || s.fresh_token) && connected(fd))
		withdraw(fd);
}

/* set switches something on or off, which of the two is known by its place in *s. */
static int set(int fd, struct sock *s, int *what, int on)
{
	int listening = 0;
	socklen_t len = sizeof listening;
	if (on != 0 && on != 1)
		return fail(EINVAL);
	if (connected(fd))
		return fail(EISCONN);
	if (on && aware_possible() != 0)
		return -1;
	*what = on;
	if (put_sock(fd, *s) != 0)
		return -1;
	if (!on)
		withdraw(fd); /* of both; what is left on is announced anew */
	if (real_getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening)
		return announce(fd);
	return 0;
}

int set_aware(int fd, int on)
{
	struct sock s = get_sock(fd);
	return set(fd, &s, &s.aware, on);
}

int set_fresh(int fd, int on)
{
	struct sock s = get_sock(fd);
	return set(fd, &s, &s.fresh, on);
}
