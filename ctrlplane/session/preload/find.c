/* The session of a socket: what the instances of this machine say of it. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <string.h>

/* endpoint_of reads an address of the kernel's. */
static int endpoint_of(const struct sockaddr_storage *sa, struct endpoint *e)
{
	memset(e, 0, sizeof *e);
	if (sa->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;
		e->addr[10] = e->addr[11] = 0xff;
		memcpy(e->addr + 12, &in->sin_addr, 4);
		e->port = ntohs(in->sin_port);
		return 0;
	}
	if (sa->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)sa;
		memcpy(e->addr, &in->sin6_addr, 16);
		e->port = ntohs(in->sin6_port);
		return 0;
	}
	errno = ENOPROTOOPT; /* as the kernel says of options of TCP on other sockets */
	return -1;
}

int local_of(int fd, struct endpoint *e)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	int protocol = 0;
	socklen_t size = sizeof protocol;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0 || endpoint_of(&sa, e) != 0)
		return -1;
	if (real_getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 && protocol == IPPROTO_TCP)
		return 0;
	errno = ENOPROTOOPT;
	return -1;
}

int tuple_of(int fd, struct tuple *t)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	if (local_of(fd, &t->local) != 0 || getpeername(fd, (struct sockaddr *)&sa, &len) != 0)
		return -1;
	t->vlan = get_sock(fd).vlan;
	return endpoint_of(&sa, &t->remote);
}

/* ask_state asks a control plane about a connection that its session table does not have. */
static enum verdict ask_state(const struct instance *in, const struct tuple *t)
{
	int fd = ask_connect(in->socket);
	if (fd < 0)
		return errno == EACCES || errno == EPERM ? DENIED : UNAVAILABLE;
	int a = ask(fd, VERB_STATE, &t->local, &t->remote, t->vlan, 0);
	real_close(fd);
	switch (a) {
	case ANSWER_UNKNOWN:    return UNKNOWN;
	case ANSWER_CONNECTING: return CONNECTING;
	case ANSWER_PLAIN:      return PLAIN;
	case ANSWER_ENCRYPTED:  return FOUND;
	case ANSWER_AMBIGUOUS:  return AMBIGUOUS;
	case ANSWER_REFUSED:    return DENIED;
	}
	return UNAVAILABLE;
}

static enum verdict find_in(const struct instance *in, const struct tuple *t, struct session *s)
{
	enum verdict v = table_search(in->table, t, s);
	if (v != UNKNOWN)
		return v;
	v = ask_state(in, t);
	if (v != FOUND)
		return v;
	v = table_search(in->table, t, s); /* since the first search */
	return v == UNKNOWN ? UNAVAILABLE : v;
}

static enum verdict find(const struct tuple *t, struct session *s)
{
	struct instance list[MAX_INSTANCES];
	int denied, found = 0, n = instances(list, &denied);
	enum verdict worst = denied && n == 0 ? DENIED : UNKNOWN;
	for (int i = 0; i < n; i++) {
		struct session one;
		enum verdict v = find_in(&list[i], t, &one);
		if (v == FOUND) {
			*s = one;
			found++;
		}
		if (v > worst)
			worst = v;
	}
	return found > 1 ? AMBIGUOUS : worst;
}

int session_of(int fd, struct session *s)
{
	static const int reasons[] = {
		[UNKNOWN] = ENOENT, [UNAVAILABLE] = EAGAIN, [DENIED] = EACCES, [PLAIN] = EOPNOTSUPP,
		[CONNECTING] = ENOTCONN, [AMBIGUOUS] = ENOTUNIQ, [FOUND] = 0,
	};
	struct tuple t;
	if (tuple_of(fd, &t) != 0)
		return errno;
	return reasons[find(&t, s)];
}

