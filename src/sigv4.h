/* sigv4.h - AWS Signature Version 4, for C callers. */
#ifndef EB_SIGV4_H
#define EB_SIGV4_H

#include <lua.h>

/* Push {name = value}: the headers that sign the request {method, url, headers, body} at index
 * `request` with {service, region, access_key, secret_key, token, time, normalize, sign_body} at
 * index `keys`.  now (Unix time) stands in for a time that is missing; negative: it may not be.
 * Raises on a caller's bug, and shows no value then: it may be a secret. */
void sigv4_headers(lua_State *L, int request, int keys, double now);

#endif
