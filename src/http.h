/* http.h - one libcurl transfer, for C callers; TLS is set up here and nowhere else. */
#ifndef EB_HTTP_H
#define EB_HTTP_H

#include <curl/curl.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#define HTTP_LIMIT ((size_t)16 << 20) /* bytes, unless told otherwise */

struct buf {
	char *s; /* NUL-terminated once anything was kept */
	size_t n, room;
};

struct tls { /* file names borrowed until http_end; NULL: default */
	const char *ca, *cert, *key;
	bool insecure; /* do not verify */
};

struct transfer {
	CURL *easy;
	struct curl_slist *headers;
	const struct tls *tls;
	struct buf head, body; /* head: of the last response alone */
	size_t limit;          /* bytes of head and of body each */
	CURLcode result;
	long status;          /* of the response, 0 without one */
	long os_errno;        /* of the failed connect, 0 when the system did not say */
	int sockets;          /* opened on the way; with several, os_errno is that of the last */
	curl_socket_t socket; /* the last of them */
	bool connected;       /* TCP is; libcurl tells only when TLS is too */
	bool added, overflow;
	char error[CURL_ERROR_SIZE];
	void (*finished)(struct transfer *t); /* never calls Lua */
};

/* Make the easy handle of a zeroed transfer with the house's defaults; url is copied.  false when
 * out of memory.  The caller may set more options, then http_start. */
bool http_begin(struct transfer *t, const char *url, const struct tls *tls);
/* Append a header line; false when out of memory. */
bool http_header(struct transfer *t, const char *line);
/* Seconds for the connection, TLS included, and for the whole transfer. */
void http_deadline(struct transfer *t, double connect, double total);
/* Give the transfer to the loop; finished is called once. */
bool http_start(struct transfer *t);
/* Make a finished transfer ready for another request on the same connection: GET, or POST of a
 * body that is borrowed. */
bool http_again(struct transfer *t, const char *url, const char *body);
/* Withdraw and free; on a zeroed transfer does nothing. */
void http_end(struct transfer *t);
/* The value of a header of the response, its length in *n; NULL without one. */
const char *http_field(const struct transfer *t, const char *name, size_t *n);
/* One line of a head: its name ends at *colon (NULL without one), its value at *end; returns the
 * next, NULL at the end. */
const char *http_split(const char *s, const char **colon, const char **value, const char **end);
/* The code of the closed list for a failed transfer, and its reason in words in why[n]. */
const char *http_explain(const struct transfer *t, char *why, size_t n);
/* Copy a URL without its user and password. */
void http_redact(const char *url, char *out, size_t n);

/* Read the Tls at o[key]; what it borrows stays on the stack.  Raises when it is none. */
void http_tls(lua_State *L, int o, const char *key, struct tls *tls);

/* How many more may be begun before connections have to wait for each other. */
size_t http_room(void);

#endif
