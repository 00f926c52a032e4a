/* Questions to a control plane: packets of a fixed size on its applications socket, ctrlplane/session/wire/wire.go. */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/time.h>

#define WIRE_VERSION 1
#define REQUEST 56
#define REPLY 16

int ask_connect(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = 1 };
	if (strlen(path) >= sizeof sa.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(sa.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (real_connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0)
		return fd;
	int why = errno;
	real_close(fd);
	errno = why;
	return -1;
}

static void put(uint8_t *b, const struct endpoint *e, uint8_t *port)
{
	memcpy(b, e->addr, 16);
	port[0] = e->port & 0xff;
	port[1] = e->port >> 8;
}

int ask(int fd, enum verb verb, const struct endpoint *local, const struct endpoint *remote, uint32_t vlan, uint32_t token)
{
	uint8_t q[REQUEST] = { WIRE_VERSION, (uint8_t)verb }, r[REPLY + 1];
	memcpy(q + 4, &vlan, sizeof vlan);
	if (local)
		put(q + 8, local, q + 40);
	if (remote)
		put(q + 24, remote, q + 42);
	memcpy(q + 44, &token, sizeof token);
	ssize_t n;
	do
		n = send(fd, q, sizeof q, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	do
		n = recv(fd, r, sizeof r, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	if (n == REPLY && r[0] == WIRE_VERSION && r[1] < ANSWERS)
		return r[1];
	errno = n == 0 ? ECONNRESET : EPROTO;
	return -1;
}
