#ifndef LINECRYPT_DPDK_LOG_H
#define LINECRYPT_DPDK_LOG_H

#include <stddef.h>

/* lc_log_capture sends DPDK's log into a buffer of its last lines; 0, or -1 with errno. */
int lc_log_capture(void);

/* lc_log_capture_libs does the same with the libraries that drivers bring along and that print by themselves. */
void lc_log_capture_libs(void);

/* lc_log_take copies what was logged since the last call into to, at most size - 1 bytes and a NUL. */
void lc_log_take(char *to, size_t size);

#endif
