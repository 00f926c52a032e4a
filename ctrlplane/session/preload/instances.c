/* Where the instances of this machine are: ctrlplane/instance/published.go. */
#define _GNU_SOURCE
#include "internal.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int folder(const char *path, struct stat *st)
{
	if (lstat(path, st) != 0)
		return -1;
	if (S_ISDIR(st->st_mode))
		return 0;
	errno = ENOTDIR;
	return -1;
}

/* trusted refuses a base folder that a stranger may have made. */
static int trusted(const char *path, uid_t *owner)
{
	struct stat st, above;
	char copy[256];
	if (folder(path, &st) != 0 || (size_t)snprintf(copy, sizeof copy, "%s", path) >= sizeof copy || folder(dirname(copy), &above) != 0)
		return 0;
	*owner = st.st_uid;
	int closed = !(st.st_mode & 022) || (st.st_mode & S_ISVTX);
	int mine = st.st_uid == getuid() || st.st_uid == 0;
	int given = above.st_uid == 0 && !(above.st_mode & 022);
	return closed && (mine || given);
}

/* good_name is CheckName of package instance: no name leads elsewhere. */
static int good_name(const char *s)
{
	size_t n = strlen(s);
	if (n == 0 || n > 32 || !((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9')))
		return 0;
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

static void add(const char *base, uid_t owner, const char *name, struct instance *list, int *n, int *denied)
{
	char dir[256];
	struct stat st;
	if (*n == MAX_INSTANCES || !good_name(name) || (size_t)snprintf(dir, sizeof dir, "%s/%s", base, name) >= sizeof dir)
		return;
	if (folder(dir, &st) != 0) {
		*denied |= errno == EACCES;
		return;
	}
	if (st.st_uid != owner && st.st_uid != 0 && st.st_uid != getuid())
		return;
	struct instance *in = &list[*n];
	if ((size_t)snprintf(in->table, sizeof in->table, "%s/sessions", dir) < sizeof in->table &&
	    (size_t)snprintf(in->socket, sizeof in->socket, "%s/apps.sock", dir) < sizeof in->socket)
		++*n;
}

static void add_all(const char *base, struct instance *list, int *n, int *denied)
{
	uid_t owner;
	struct stat st;
	*denied |= lstat(base, &st) != 0 && errno == EACCES;
	if (!trusted(base, &owner))
		return;
	const char *names = secure_getenv("LINECRYPT_INSTANCE");
	if (names && *names) {
		char copy[1024], *rest = copy, *name;
		if ((size_t)snprintf(copy, sizeof copy, "%s", names) >= sizeof copy)
			return;
		while ((name = strsep(&rest, ",")))
			add(base, owner, name, list, n, denied);
		return;
	}
	DIR *d = opendir(base);
	if (!d) {
		add(base, owner, "default", list, n, denied);
		return;
	}
	for (struct dirent *e; (e = readdir(d));)
		add(base, owner, e->d_name, list, n, denied);
	closedir(d);
}

int instances(struct instance *list, int *denied)
{
	char path[256];
	int n = 0;
	*denied = 0;
	const char *base = secure_getenv("LINECRYPT_RUN_DIR"), *user = secure_getenv("XDG_RUNTIME_DIR");
	if (base && *base) {
		add_all(base, list, &n, denied);
		return n;
	}
	add_all("/run/linecrypt", list, &n, denied);
	if (user && *user == '/' && (size_t)snprintf(path, sizeof path, "%s/linecrypt", user) < sizeof path)
		add_all(path, list, &n, denied);
	snprintf(path, sizeof path, "/tmp/linecrypt-%u", (unsigned)getuid());
	add_all(path, list, &n, denied);
	return n;
}
