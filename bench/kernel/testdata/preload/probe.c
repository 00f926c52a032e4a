/*
 * A program that knows nothing of gateways: it connects or listens, and prints what its socket says of the session, a line "name=value"
 * for each option, "name=!errno" where there is none. It ends when its standard input does.
 *
 *	probe connect ADDRESS PORT [aware|flush|fresh]
 *	probe serve ADDRESS PORT [aware|child|fresh]
 *	probe many ADDRESS PORT COUNT [ask]
 *	probe misuse
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "linecrypt_tcpcrypt.h"

static void bytes(int s, const char *name, int option)
{
	unsigned char b[128];
	socklen_t len = sizeof b;
	if (getsockopt(s, IPPROTO_TCP, option, b, &len) != 0) {
		printf("%s=!%d\n", name, errno);
		return;
	}
	printf("%s=", name);
	for (socklen_t i = 0; i < len; i++)
		printf("%02x", b[i]);
	printf("\n");
}

static void number(int s, const char *name, int option)
{
	int n;
	socklen_t len = sizeof n;
	if (getsockopt(s, IPPROTO_TCP, option, &n, &len) != 0)
		printf("%s=!%d\n", name, errno);
	else
		printf("%s=%d\n", name, n);
}

static void report(int s)
{
	bytes(s, "session_id", TCP_CRYPT_SESSIONID);
	bytes(s, "sessid", TCP_ENO_SESSID);
	number(s, "role", TCP_ENO_ROLE);
	number(s, "tep", TCP_ENO_NEGSPEC);
	number(s, "self_aware", TCP_ENO_SELF_AWARE);
	number(s, "peer_aware", TCP_ENO_PEER_AWARE);
	bytes(s, "raw", TCP_ENO_RAW);
	bytes(s, "transcript", TCP_ENO_TRANSCRIPT);
	number(s, "aead", TCP_CRYPT_AEAD);
	number(s, "resumed", TCP_CRYPT_RESUMED);
	number(s, "auth", TCP_CRYPT_AUTH);
	printf("end\n");
	fflush(stdout);
}

static int die(const char *what)
{
	printf("%s=!%d\nend\n", what, errno);
	fflush(stdout);
	return 1;
}

/* misuse prints what nonsense is answered by. */
static int misuse(void)
{
	int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0), two = 2, one = 1;
	unsigned char b[64];
	socklen_t len = sizeof b;
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	printf("fresh=%d\n", getsockopt(tcp, IPPROTO_TCP, TCP_CRYPT_SESSIONID, b, &len) ? errno : 0);
	printf("udp=%d\n", getsockopt(udp, IPPROTO_TCP, TCP_CRYPT_SESSIONID, b, &len) ? errno : 0);
	printf("closed=%d\n", getsockopt(99, IPPROTO_TCP, TCP_CRYPT_SESSIONID, b, &len) ? errno : 0);
	printf("pipe=%d\n", getsockopt(0, IPPROTO_TCP, TCP_CRYPT_SESSIONID, b, &len) ? errno : 0);
	printf("value=%d\n", setsockopt(tcp, IPPROTO_TCP, TCP_ENO_SELF_AWARE, &two, sizeof two) ? errno : 0);
	printf("size=%d\n", setsockopt(tcp, IPPROTO_TCP, TCP_ENO_SELF_AWARE, &one, 1) ? errno : 0);
	printf("null=%d\n", setsockopt(tcp, IPPROTO_TCP, TCP_ENO_SELF_AWARE, NULL, sizeof one) ? errno : 0);
	printf("readonly=%d\n", setsockopt(tcp, IPPROTO_TCP, TCP_CRYPT_SESSIONID, b, sizeof one) ? errno : 0);
	printf("kernels=%d\n", setsockopt(tcp, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one) ? errno : 0);
	int l = socket(AF_INET, SOCK_STREAM, 0);
	len = sizeof sa;
	if (bind(l, (struct sockaddr *)&sa, sizeof sa) || listen(l, 1) || getsockname(l, (struct sockaddr *)&sa, &len) ||
	    connect(tcp, (struct sockaddr *)&sa, sizeof sa))
		return die("loopback");
	len = sizeof b;
	printf("loopback=%d\n", getsockopt(tcp, IPPROTO_TCP, TCP_CRYPT_SESSIONID, b, &len) ? errno : 0);
	printf("late=%d\n", setsockopt(tcp, IPPROTO_TCP, TCP_ENO_SELF_AWARE, &one, sizeof one) ? errno : 0);
	printf("end\n");
	return 0;
}

/* many opens connections with the bit, waits for none of them in connect(), keeps them, and prints how many carry it. With ask it also
   asks the kernel what became of each. */
static int many(const struct addrinfo *ai, int count, int ask)
{
	int one = 1, aware = 0;
	for (int i = 0; i < count; i++) {
		int s = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0), n = 0;
		struct pollfd p = { .fd = s, .events = POLLOUT };
		socklen_t len = sizeof n;
		if (setsockopt(s, IPPROTO_TCP, TCP_ENO_SELF_AWARE, &one, sizeof one) != 0)
			return die("aware");
		if (connect(s, ai->ai_addr, ai->ai_addrlen) != 0 && errno != EINPROGRESS)
			return die("connect");
		if (poll(&p, 1, 30000) != 1 || (ask && (getsockopt(s, SOL_SOCKET, SO_ERROR, &n, &len) != 0 || n)))
			return die("poll");
		len = sizeof n;
		if (getsockopt(s, IPPROTO_TCP, TCP_ENO_SELF_AWARE, &n, &len) == 0)
			aware += n;
	}
	printf("aware=%d\nend\n", aware);
	fflush(stdout);
	char c;
	while (read(0, &c, 1) > 0)
		;
	return 0;
}

/* child closes a descriptor in a child that has the memory of its parent, as one does that is about to become another program. */
static void child(int fd)
{
	pid_t pid = vfork();
	if (pid == 0) {
		close(fd);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *ai;
	int one = 1;
	unsigned char small[8];
	socklen_t len = sizeof small;
	if (argc > 1 && !strcmp(argv[1], "misuse"))
		return misuse();
	if (argc < 4 || getaddrinfo(argv[2], argv[3], &hints, &ai) != 0)
		return 2;
	if (!strcmp(argv[1], "many"))
		return argc > 4 ? many(ai, atoi(argv[4]), argc > 5) : 2;
	int s = socket(ai->ai_family, SOCK_STREAM, 0);
	if (argc > 4 && (!strcmp(argv[4], "aware") || !strcmp(argv[4], "child")) && setsockopt(s, IPPROTO_TCP, TCP_ENO_SELF_AWARE, &one, sizeof one) != 0)
		return die("aware");
	int off = 0;
	if (argc > 4 && !strcmp(argv[4], "fresh") && setsockopt(s, IPPROTO_TCP, TCP_CRYPT_RESUME, &off, sizeof off) != 0)
		return die("fresh");
	if (!strcmp(argv[1], "connect")) {
		if (connect(s, ai->ai_addr, ai->ai_addrlen) != 0)
			return die("connect");
	} else {
		setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		if (bind(s, ai->ai_addr, ai->ai_addrlen) != 0 || listen(s, 5) != 0)
			return die("listen");
		if (argc > 4 && !strcmp(argv[4], "child"))
			child(s);
		printf("listening\n");
		fflush(stdout);
		s = accept(s, NULL, NULL);
		if (s < 0)
			return die("accept");
	}
	printf("small=%d\n", getsockopt(s, IPPROTO_TCP, TCP_CRYPT_SESSIONID, small, &len) ? errno : 0);
	if (argc > 4 && !strcmp(argv[4], "flush"))
		printf("flush=%d\n", setsockopt(s, IPPROTO_TCP, TCP_CRYPT_CACHE_FLUSH, &one, sizeof one) ? errno : 0);
	report(s);
	char c;
	while (read(0, &c, 1) > 0)
		;
	close(s);
	return 0;
}
