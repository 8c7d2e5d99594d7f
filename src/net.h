/* net.h - the canonical form of a URL, for C callers. */
#ifndef EB_NET_H
#define EB_NET_H

#include <stdbool.h>
#include <stddef.h>

/* Write the canonical form of text[0..n) to out[room] (RFC 5952, lower case, port written, no
 * trailing slash); false when it is no http or https URL of a host and a port alone. */
bool net_canonical(const char *text, size_t n, char *out, size_t room);

#endif
