/* serve.h - what the two files of core.serve share. */
#ifndef EB_SERVE_H
#define EB_SERVE_H

#include <lua.h>
#include <openssl/ssl.h>

/* Make *ctx as the table at o says; 0, or nil, message, code were pushed and their count is
 * returned.  Raises when the table is wrong. */
int serve_tls(lua_State *L, int o, SSL_CTX **ctx);

#endif
