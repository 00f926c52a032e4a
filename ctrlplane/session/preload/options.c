/* The options of linecrypt_tcpcrypt.h. */
#define _GNU_SOURCE
#include "internal.h"

#include "linecrypt_tcpcrypt.h"

#include <errno.h>
#include <string.h>

int fail(int why)
{
	errno = why;
	return -1;
}

static int give(void *value, socklen_t *len, const void *what, size_t size)
{
	if (!value || !len)
		return fail(EFAULT);
	if (*len < size)
		return fail(EINVAL);
	memcpy(value, what, size);
	*len = size;
	return 0;
}

static int give_int(void *value, socklen_t *len, int n) { return give(value, len, &n, sizeof n); }

/* option returns the length of an ENO option, 0 where there is none. */
static size_t option(const uint8_t *b) { return b[1] >= 2 && b[1] <= 40 ? b[1] : 0; }

int get_option(int fd, int name, void *value, socklen_t *len)
{
	struct session s;
	uint8_t both[80];
	int why = session_of(fd, &s);
	if (name == TCP_ENO_SELF_AWARE && why == ENOTCONN)
		return give_int(value, len, get_sock(fd).aware);
	if (name == TCP_CRYPT_RESUME && why == ENOTCONN)
		return give_int(value, len, !get_sock(fd).fresh);
	if (name == TCP_ENO_ROLE && why == EOPNOTSUPP)
		return give_int(value, len, 0);
	if (why)
		return fail(why);
	const uint8_t *own = s.role == 1 ? s.eno_a : s.eno_b;
	switch (name) {
	case TCP_ENO_SESSID:
	case TCP_CRYPT_SESSIONID: return give(value, len, s.id, sizeof s.id);
	case TCP_ENO_ROLE:        return give_int(value, len, s.role);
	case TCP_ENO_NEGSPEC:     return give_int(value, len, s.tep);
	case TCP_ENO_SELF_AWARE:  return give_int(value, len, s.own_aware);
	case TCP_ENO_PEER_AWARE:  return give_int(value, len, s.peer_aware);
	case TCP_CRYPT_AEAD:      return give_int(value, len, s.aead);
	case TCP_CRYPT_RESUMED:   return give_int(value, len, s.resumed);
	case TCP_CRYPT_AUTH:      return give_int(value, len, s.auth);
	case TCP_ENO_RAW:         return give(value, len, own, option(own));
	case TCP_ENO_TRANSCRIPT:
		memcpy(both, s.eno_a, option(s.eno_a));
		memcpy(both + option(s.eno_a), s.eno_b, option(s.eno_b));
		return give(value, len, both, option(s.eno_a) + option(s.eno_b));
	}
	return fail(ENOPROTOOPT);
}

/* flush lets every instance that knows the connection forget what could be resumed with its far end. */
static int flush(int fd)
{
	struct tuple t;
	struct instance list[MAX_INSTANCES];
	int denied, done = 0, why = ENOENT;
	if (tuple_of(fd, &t) != 0)
		return -1;
	int n = instances(list, &denied);
	if (denied)
		why = EACCES;
	for (int i = 0; i < n; i++) {
		int s = ask_connect(list[i].socket);
		if (s < 0) {
			why = errno == EACCES || errno == EPERM ? EACCES : EAGAIN;
			continue;
		}
		int a = ask(s, VERB_FLUSH, &t.local, &t.remote, t.vlan, 0);
		real_close(s);
		done |= a == ANSWER_DONE;
		if (a == ANSWER_REFUSED)
			why = EACCES;
		else if (a < 0 || a == ANSWER_AWAY)
			why = EAGAIN;
	}
	return done ? 0 : fail(why);
}

int set_option(int fd, int name, const void *value, socklen_t len)
{
	struct endpoint e;
	int n;
	if (local_of(fd, &e) != 0)
		return -1;
	if (!value)
		return fail(EFAULT);
	if (len != sizeof n)
		return fail(EINVAL);
	memcpy(&n, value, sizeof n);
	switch (name) {
	case TCP_ENO_SELF_AWARE:    return set_aware(fd, n);
	case TCP_CRYPT_RESUME:      return n == 0 || n == 1 ? set_fresh(fd, !n) : fail(EINVAL);
	case TCP_CRYPT_CACHE_FLUSH: return flush(fd);
	case TCP_CRYPT_VLAN: {
		struct sock s = get_sock(fd);
		s.vlan = (uint32_t)n;
		return put_sock(fd, s);
	}
	}
	return fail(ENOPROTOOPT);
}

