/* sigv4form.h - what sigv4.c and sigv4form.c share: one request that is being signed. */
#ifndef EB_SIGV4FORM_H
#define EB_SIGV4FORM_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#define DIGEST 32 /* bytes of SHA256 */

struct signing { /* strings are on the stack */
	const char *method, *service, *region, *access_key, *token;
	struct {
		const char *s;
		size_t n;
	} secret, host, path, query;
	long port; /* 0: the scheme's own */
	bool normalize, sign_body;
	char date[17], day[9]; /* 20150830T123600Z */
	char body[2 * DIGEST + 1];
};

/* Cut the URL as libcurl does, which sends no fragment. */
void form_url(struct signing *s, const char *url);
/* Push whatever, then the names of the signed headers joined by ; and the canonical form of the
 * request at that index with the headers {name = value} at index `added`. */
void form_push(lua_State *L, const struct signing *s, int request, int added);

#endif
