/*
 * What the files of the library share. A question goes: preload.c (the calls of the program), options.c, find.c, instances.c (where
 * gateways are), table.c (their session tables), ask.c (their control planes). bit.c and aware.c tell control planes which sockets want
 * the application-aware bit. socks.c has what was set for a descriptor, next.c the calls of the C library.
 */
#ifndef INTERNAL_H
#define INTERNAL_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the session table is written by little-endian machines alone"
#endif

#define HIDDEN __attribute__((visibility("hidden")))

/* ANY_VLAN stands for whatever VLAN a connection is in. */
#define ANY_VLAN 0xffffffffu

/* endpoint is an address, IPv4 in its IPv6-mapped form, and a port in host order. */
struct endpoint {
	uint8_t addr[16];
	uint16_t port;
};

/* tuple names a connection as its local host sees it. */
struct tuple {
	struct endpoint local, remote;
	uint32_t vlan;
};

/* session is an entry of a session table: ctrlplane/sessiontable/slot.go. */
struct session {
	int role, tep, aead, auth;
	int resumed, own_aware, peer_aware;
	uint8_t id[33];
	uint8_t eno_a[40], eno_b[40];
};

/* verdict is what an instance says of a connection. Of what several say the greatest counts. */
enum verdict { UNKNOWN, UNAVAILABLE, DENIED, PLAIN, CONNECTING, AMBIGUOUS, FOUND };

/* instance is where an instance has what applications may use. */
struct instance {
	char table[256];
	char socket[108];
};

/* Verbs and answers of the applications socket: ctrlplane/session/wire/wire.go. */
enum verb { VERB_STATE = 1, VERB_SET_AWARE, VERB_CLEAR_AWARE, VERB_FLUSH, VERB_SET_FRESH };
enum answer {
	ANSWER_UNKNOWN, ANSWER_CONNECTING, ANSWER_PLAIN, ANSWER_ENCRYPTED, ANSWER_AMBIGUOUS,
	ANSWER_DONE, ANSWER_REFUSED, ANSWER_FULL, ANSWER_BAD, ANSWER_AWAY, ANSWERS
};

#define MAX_INSTANCES 16

/* instances fills list and returns how many there are; *denied says that something may not be looked at. */
HIDDEN int instances(struct instance *list, int *denied);

/* table_search looks in a session table. */
HIDDEN enum verdict table_search(const char *path, const struct tuple *t, struct session *s);

/* ask_connect returns a socket to a control plane, -1 with errno. */
HIDDEN int ask_connect(const char *path);
/* ask sends one request and returns the answer, -1 with errno. */
HIDDEN int ask(int fd, enum verb verb, const struct endpoint *local, const struct endpoint *remote, uint32_t vlan, uint32_t token);

/* aware_set asks for the bit, or with VERB_SET_FRESH for fresh key exchanges, for what is opened or accepted from an endpoint. It returns
   a token, 0 with errno. */
HIDDEN uint32_t aware_set(enum verb verb, const struct endpoint *local);
HIDDEN void aware_clear(uint32_t token);
/* aware_possible says whether it could be asked for: 0, or -1 with errno. */
HIDDEN int aware_possible(void);

/* sock is what was set for a descriptor. */
struct sock {
	uint64_t inode; /* of its socket, 0: nothing is set */
	uint32_t vlan;
	uint32_t token, fresh_token; /* of aware_set, 0 for none */
	int aware, fresh;
};

HIDDEN struct sock get_sock(int fd);
HIDDEN int put_sock(int fd, struct sock s); /* -1 with errno */
/* forget takes back what was set for a descriptor that is being closed. */
HIDDEN void forget(int fd);
/* each_announced calls f with each descriptor of which a control plane was told. */
HIDDEN void each_announced(void (*f)(int fd));

/* local_of returns the address of a TCP socket, tuple_of both of them: 0, or -1 with errno. */
HIDDEN int local_of(int fd, struct endpoint *e);
HIDDEN int tuple_of(int fd, struct tuple *t);
/* session_of finds the session of a socket: 0, or the errno of its verdict. */
HIDDEN int session_of(int fd, struct session *s);

/* set_aware sets the bit of a socket, set_fresh that its connections have nothing to do with resumption; announce tells the control planes
   of one for which either is set, before its SYN leaves; withdraw takes that back, settle where the SYN has been answered. */
HIDDEN int set_aware(int fd, int on);
HIDDEN int set_fresh(int fd, int on);
HIDDEN int announce(int fd);
HIDDEN void withdraw(int fd);
HIDDEN void settle(int fd);

/* get_option and set_option are getsockopt() and setsockopt() of our options. */
HIDDEN int get_option(int fd, int name, void *value, socklen_t *len);
HIDDEN int set_option(int fd, int name, const void *value, socklen_t len);
/* fail sets errno and returns -1. */
HIDDEN int fail(int why);

/* The calls of the C library. */
HIDDEN int real_close(int fd);
HIDDEN int real_connect(int fd, const struct sockaddr *addr, socklen_t len);
HIDDEN int real_listen(int fd, int backlog);
HIDDEN int real_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
HIDDEN int real_setsockopt(int fd, int level, int name, const void *value, socklen_t len);

#endif
