/*
 * Sockets of this process whose connections are to carry the application-aware bit, or to resume nothing. The gateway sends the SYN, so its control plane is told
 * the endpoint before connect() or listen(), over a socket that stays open: the bit ends when the process that asked closes its descriptor, and
 * without that with the last process that has the socket to the control plane. A child of fork() keeps its parent's open and opens one of its
 * own for what it asks for itself.
 */
#include "internal.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define MAX_SET 256

struct link {
	char path[108];
	int fd;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct link links[MAX_INSTANCES];
static int n_links;
static struct set {
	uint32_t token;
	enum verb verb;
	struct endpoint local;
} sets[MAX_SET];
static int n_sets;
static uint32_t last;

static void prepare(void) { pthread_mutex_lock(&lock); }
static void parent(void) { pthread_mutex_unlock(&lock); }

static void child(void)
{
	n_links = 0; /* their descriptors stay open */
	n_sets = 0;
	pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void) { pthread_atfork(prepare, parent, child); }

/* link_to returns the link to a control plane, a new one where that has ended; it is told again what this process asked for. */
static struct link *link_to(const char *path)
{
	struct link *l = NULL;
	for (int i = 0; i < n_links && !l; i++)
		if (!strcmp(links[i].path, path))
			l = &links[i];
	if (!l) {
		if (n_links == MAX_INSTANCES) {
			errno = ENOBUFS;
			return NULL;
		}
		l = &links[n_links++];
		strcpy(l->path, path);
		l->fd = -1;
	}
	if (l->fd >= 0)
		return l;
	l->fd = ask_connect(path);
	if (l->fd < 0)
		return NULL;
	for (int i = 0; i < n_sets; i++)
		if (ask(l->fd, sets[i].verb, &sets[i].local, NULL, ANY_VLAN, sets[i].token) < 0)
			break;
	return l;
}

/* tell asks by the link, and once more by a new one. */
static int tell(const char *path, enum verb verb, const struct endpoint *local, uint32_t token)
{
	for (int i = 0; i < 2; i++) {
		struct link *l = link_to(path);
		if (!l)
			return -1;
		int a = ask(l->fd, verb, local, NULL, ANY_VLAN, token);
		if (a >= 0)
			return a;
		real_close(l->fd);
		l->fd = -1;
	}
	return -1;
}

/* reason is the errno for an answer, or for none; the more it tells, the later it comes in the list. */
static int reason(int answer)
{
	if (answer < 0)
		return errno == EACCES || errno == EPERM ? EACCES : EAGAIN;
	return answer == ANSWER_REFUSED ? EACCES : answer == ANSWER_FULL ? ENOBUFS : EAGAIN;
}

uint32_t aware_set(enum verb verb, const struct endpoint *local)
{
	struct instance list[MAX_INSTANCES];
	int denied, done = 0, why = ENOENT;
	int n = instances(list, &denied);
	if (denied)
		why = EACCES;
	pthread_mutex_lock(&lock);
	uint32_t token = ++last ? last : ++last;
	if (n_sets == MAX_SET) {
		why = ENOBUFS;
		n = 0;
	}
	for (int i = 0; i < n; i++) {
		int a = tell(list[i].socket, verb, local, token);
		if (a == ANSWER_DONE)
			done = 1;
		else
			why = reason(a);
	}
	if (done)
		sets[n_sets++] = (struct set){ token, verb, *local };
	pthread_mutex_unlock(&lock);
	if (done)
		return token;
	errno = why;
	return 0;
}

void aware_clear(uint32_t token)
{
	int why = errno;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < n_sets; i++) {
		if (sets[i].token != token)
			continue;
		sets[i] = sets[--n_sets];
		for (int k = 0; k < n_links; k++)
			if (links[k].fd >= 0 && ask(links[k].fd, VERB_CLEAR_AWARE, NULL, NULL, ANY_VLAN, token) < 0) {
				real_close(links[k].fd);
				links[k].fd = -1;
			}
		break;
	}
	pthread_mutex_unlock(&lock);
	errno = why;
}

int aware_possible(void)
{
	struct instance list[MAX_INSTANCES];
	int denied, why = ENOENT;
	int n = instances(list, &denied);
	if (denied)
		why = EACCES;
	for (int i = 0; i < n; i++) {
		int fd = ask_connect(list[i].socket);
		if (fd >= 0) {
			real_close(fd);
			return 0;
		}
		why = reason(-1);
	}
	errno = why;
	return -1;
}
