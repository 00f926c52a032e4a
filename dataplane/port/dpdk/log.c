//go:build dpdk && cgo

#define _GNU_SOURCE
#include "log.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rte_log.h>

static struct {
	pthread_mutex_t lock;
	size_t len;
	char text[4096];
} captured = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The newest lines explain a failure best, so they push out the oldest. */
static ssize_t
capture(void *cookie, const char *buf, size_t n)
{
	size_t take = n, keep;

	(void)cookie;
	pthread_mutex_lock(&captured.lock);
	if (take > sizeof(captured.text)) {
		buf += take - sizeof(captured.text);
		take = sizeof(captured.text);
	}
	keep = captured.len;
	if (keep > sizeof(captured.text) - take)
		keep = sizeof(captured.text) - take;
	memmove(captured.text, captured.text + captured.len - keep, keep);
	memcpy(captured.text + keep, buf, take);
	captured.len = keep + take;
	pthread_mutex_unlock(&captured.lock);
	return n;
}

int
lc_log_capture(void)
{
	FILE *f = fopencookie(NULL, "w", (cookie_io_functions_t){.write = capture});

	if (f == NULL)
		return -1;
	setvbuf(f, NULL, _IONBF, 0);
	return rte_openlog_stream(f);
}

/* libbpf and libxdp number their levels from 0, warnings. */
static int
capture_lib(int level, const char *fmt, va_list args)
{
	char line[256];
	int n;

	if (level > 0)
		return 0;
	n = vsnprintf(line, sizeof(line), fmt, args);
	if (n > 0)
		capture(NULL, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
	return n;
}

static void
capture_from(const char *lib, const char *setter)
{
	void *handle = dlopen(lib, RTLD_NOW | RTLD_NOLOAD), *f;

	if (handle == NULL)
		return;
	f = dlsym(handle, setter);
	if (f != NULL)
		((void *(*)(int (*)(int, const char *, va_list)))f)(capture_lib);
}

void
lc_log_capture_libs(void)
{
	capture_from("libbpf.so.1", "libbpf_set_print");
	capture_from("libxdp.so.1", "libxdp_set_print");
}

void
lc_log_take(char *to, size_t size)
{
	size_t n;

	pthread_mutex_lock(&captured.lock);
	n = captured.len < size - 1 ? captured.len : size - 1;
	memcpy(to, captured.text + captured.len - n, n);
	to[n] = 0;
	captured.len = 0;
	pthread_mutex_unlock(&captured.lock);
}
