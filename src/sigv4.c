/* sigv4.c - core.sigv4: AWS Signature Version 4, from a request and a time alone.
 *
 * The service makes the same canonical text of the request that it got and compares signatures,
 * so all follows what is sent, byte by byte.  Every service but S3 takes dot segments and double
 * slashes out of the path and encodes once more what was encoded already; S3 keeps the path, and
 * wants the body's digest as a header too.
 */
#include "sigv4.h"

#include "loop.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define SECRET_MAX 256
#define LAST_TIME 253402300800.0 /* the year 10000 */
#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define DIGEST 32

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

struct pair { /* of a query, encoded */
	const char *s;
	size_t key, n; /* key: bytes before its = */
};

/* Push o[key], a string that fits a line, or nil where it may be missing. */
static const char *line(lua_State *L, int o, const char *key, bool needed)
{
	size_t n;
	int type = lua_getfield(L, o, key);

	if (type == LUA_TNIL && !needed)
		return NULL;
	if (type != LUA_TSTRING)
		luaL_error(L, "%s must be a string", key);
	const char *s = lua_tolstring(L, -1, &n);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 0x7f)
			luaL_error(L, "%s must be one line", key);
	if (n == 0)
		luaL_error(L, "%s must not be empty", key);
	return s;
}

static bool flag(lua_State *L, int o, const char *key, bool otherwise)
{
	int type = lua_getfield(L, o, key);

	if (type != LUA_TNIL && type != LUA_TBOOLEAN)
		luaL_error(L, "%s must be a boolean", key);
	bool value = type == LUA_TNIL ? otherwise : lua_toboolean(L, -1);
	lua_pop(L, 1);
	return value;
}

static void to_hex(const unsigned char *digest, char out[2 * DIGEST + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < DIGEST; i++) {
		*out++ = digits[digest[i] >> 4];
		*out++ = digits[digest[i] & 15];
	}
	*out = '\0';
}

static void hash(lua_State *L, const char *s, size_t n, char out[2 * DIGEST + 1])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	if (!EVP_Q_digest(NULL, "SHA256", NULL, s, n, digest, NULL))
		luaL_error(L, "this system's OpenSSL refuses SHA256");
	to_hex(digest, out);
}

/* Cut the URL as libcurl does; a fragment is not sent. */
static void split_url(struct signing *s, const char *url)
{
	bool tls = strncasecmp(url, "https:", 6) == 0;
	const char *slashes = strstr(url, "://");

	s->host.s = slashes ? slashes + 3 : url;
	s->path.s = s->host.s + strcspn(s->host.s, "/?#");
	const char *at = memrchr(s->host.s, '@', (size_t)(s->path.s - s->host.s));
	s->host.s = at ? at + 1 : s->host.s;
	s->host.n = (size_t)(s->path.s - s->host.s);
	const char *colon = memrchr(s->host.s, ':', s->host.n);
	if (colon && !memchr(colon, ']', (size_t)(s->path.s - colon))) {
		s->port = strtol(colon + 1, NULL, 10);
		s->port = s->port == (tls ? 443 : 80) ? 0 : s->port;
		s->host.n = (size_t)(colon - s->host.s);
	}
	s->path.n = strcspn(s->path.s, "?#");
	const char *end = s->path.s + s->path.n;
	s->query.s = *end == '?' ? end + 1 : end;
	s->query.n = strcspn(s->query.s, "#");
}

static void read_time(lua_State *L, int keys, double now, struct signing *s)
{
	struct tm tm;
	int type = lua_getfield(L, keys, "time");

	if (type == LUA_TNUMBER)
		now = lua_tonumber(L, -1);
	else if (type != LUA_TNIL)
		luaL_error(L, "time must be a number");
	if (!(now >= 0 && now < LAST_TIME))
		luaL_error(L, "time is missing or out of range");
	lua_pop(L, 1);
	time_t seconds = (time_t)now;
	gmtime_r(&seconds, &tm);
	strftime(s->date, sizeof s->date, "%Y%m%dT%H%M%SZ", &tm);
	memcpy(s->day, s->date, sizeof s->day - 1);
}

/* Read all that is signed but the headers; what was read stays on the stack. */
static void read_signing(lua_State *L, int request, int keys, double now, struct signing *s)
{
	size_t n = 0;

	luaL_checkstack(L, 40, NULL);
	*s = (struct signing){ 0 };
	if (lua_getfield(L, request, "url") != LUA_TSTRING)
		luaL_error(L, "url must be a string");
	split_url(s, lua_tostring(L, -1));
	if (lua_getfield(L, request, "body") != LUA_TNIL && lua_type(L, -1) != LUA_TSTRING)
		luaL_error(L, "body must be a string");
	const char *body = lua_tolstring(L, -1, &n);
	hash(L, body ? body : "", n, s->body);
	s->method = line(L, request, "method", false);
	if (!s->method)
		s->method = body ? "POST" : "GET";
	s->service = line(L, keys, "service", true);
	s->region = line(L, keys, "region", true);
	s->access_key = line(L, keys, "access_key", true);
	line(L, keys, "secret_key", true);
	s->secret.s = lua_tolstring(L, -1, &s->secret.n);
	if (s->secret.n > SECRET_MAX)
		luaL_error(L, "secret_key is longer than %d bytes", SECRET_MAX);
	s->token = line(L, keys, "token", false);
	s->normalize = flag(L, keys, "normalize", strcmp(s->service, "s3") != 0);
	s->sign_body = flag(L, keys, "sign_body", strcmp(s->service, "s3") == 0);
	read_time(L, keys, now, s);
}

/* The path and the query. */

/* Add one character percent-encoded and return the next; what is encoded stays unless `twice`. */
static const char *add_encoded(luaL_Buffer *b, const char *s, const char *end, bool twice)
{
	static const char digits[] = "0123456789ABCDEF", hex[] = "0123456789ABCDEFabcdef";
	unsigned char c = (unsigned char)*s;

	if (memchr(ALNUM "-._~", c, sizeof ALNUM "-._~" - 1)) {
		luaL_addchar(b, *s);
		return s + 1;
	}
	if (c == '%' && !twice && end - s > 2 && memchr(hex, s[1], sizeof hex - 1) &&
	    memchr(hex, s[2], sizeof hex - 1)) {
		luaL_addlstring(b, s, 3);
		return s + 3;
	}
	luaL_addchar(b, '%');
	luaL_addchar(b, digits[c >> 4]);
	luaL_addchar(b, digits[c & 15]);
	return s + 1;
}

/* Copy a path that begins with a slash without its empty, "." and ".." segments. */
static size_t remove_dots(const char *s, size_t n, char *out)
{
	const char *end = s + n, *next;
	size_t filled = 0;

	for (; s < end; s = next) {
		const char *slash = memchr(s + 1, '/', (size_t)(end - s - 1));

		next = slash ? slash : end;
		size_t length = (size_t)(next - s - 1);
		if (length == 2 && memcmp(s + 1, "..", 2) == 0) {
			while (filled > 0 && out[--filled] != '/')
				;
		} else if (length > 0 && !(length == 1 && s[1] == '.')) {
			memcpy(out + filled, s, length + 1);
			filled += length + 1;
		}
	}
	if (filled == 0 || end[-1] == '/')
		out[filled++] = '/';
	return filled;
}

static void push_path(lua_State *L, const struct signing *s)
{
	const char *p = s->path.n ? s->path.s : "/", *end = p + (s->path.n ? s->path.n : 1);
	luaL_Buffer b;

	if (s->normalize) {
		char *room = lua_newuserdatauv(L, (size_t)(end - p) + 1, 0);

		end = room + remove_dots(p, (size_t)(end - p), room);
		p = room;
	}
	luaL_buffinit(L, &b);
	while (p < end) {
		if (*p == '/')
			luaL_addchar(&b, *p++);
		else
			p = add_encoded(&b, p, end, s->normalize);
	}
	luaL_pushresult(&b);
}

/* Push the query encoded; & and the first = of each pair remain. */
static const char *push_encoded(lua_State *L, const char *p, const char *end, size_t *n)
{
	bool in_value = false;
	luaL_Buffer b;

	luaL_buffinit(L, &b);
	while (p < end) {
		if (*p != '&' && (*p != '=' || in_value)) {
			p = add_encoded(&b, p, end, false);
			continue;
		}
		in_value = *p == '=';
		luaL_addchar(&b, *p++);
	}
	luaL_pushresult(&b);
	return lua_tolstring(L, -1, n);
}

static int order(const char *a, size_t n, const char *b, size_t m)
{
	int sign = memcmp(a, b, n < m ? n : m);

	return sign ? sign : (n > m) - (n < m);
}

static int compare_pairs(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int sign = order(x->s, x->key, y->s, y->key);

	return sign ? sign : order(x->s + x->key, x->n - x->key, y->s + y->key, y->n - y->key);
}

static void push_query(lua_State *L, const struct signing *s)
{
	size_t n, count = 1, filled = 0;
	const char *p = push_encoded(L, s->query.s, s->query.s + s->query.n, &n), *end = p + n;
	luaL_Buffer b;

	for (size_t i = 0; i < n; i++)
		count += p[i] == '&';
	struct pair *pairs = lua_newuserdatauv(L, count * sizeof *pairs, 0);
	for (; p < end; p++) {
		struct pair pair = { .s = p, .key = strcspn(p, "=&"), .n = strcspn(p, "&") };

		if (pair.n)
			pairs[filled++] = pair;
		p += pair.n;
	}
	qsort(pairs, filled, sizeof *pairs, compare_pairs);
	luaL_buffinit(L, &b);
	for (size_t i = 0; i < filled; i++) {
		if (i > 0)
			luaL_addchar(&b, '&');
		luaL_addlstring(&b, pairs[i].s, pairs[i].n);
		if (pairs[i].key == pairs[i].n)
			luaL_addchar(&b, '=');
	}
	luaL_pushresult(&b);
}

/* The headers. */

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Push the string on top of the stack trimmed and with single spaces. */
static void push_trimmed(lua_State *L, const char *name)
{
	size_t n;
	const char *s = lua_tolstring(L, -1, &n), *end = s + n;
	luaL_Buffer b;

	if (memchr(s, '\0', n))
		luaL_error(L, "header %s has a NUL", name);
	while (end > s && is_space(end[-1]))
		end--;
	while (s < end && is_space(*s))
		s++;
	luaL_buffinit(L, &b);
	for (; s < end; s++) {
		if (!is_space(*s))
			luaL_addchar(&b, *s);
		else if (!is_space(s[1]))
			luaL_addchar(&b, ' ');
	}
	luaL_pushresult(&b);
}

/* Push the value on top of the stack, a string or a list of them, in canonical form. */
static void push_value(lua_State *L, const char *name)
{
	int value = lua_gettop(L);

	if (lua_type(L, value) == LUA_TSTRING) {
		push_trimmed(L, name);
		return;
	}
	if (lua_type(L, value) != LUA_TTABLE || lua_rawlen(L, value) == 0)
		luaL_error(L, "header %s must be a string or a list of strings", name);
	lua_pushliteral(L, "");
	for (lua_Integer i = 1; lua_rawgeti(L, value, i) != LUA_TNIL; i++) {
		if (lua_type(L, -1) != LUA_TSTRING)
			luaL_error(L, "header %s must be a string or a list of strings", name);
		push_trimmed(L, name);
		lua_remove(L, -2);
		if (i > 1) {
			lua_pushliteral(L, ",");
			lua_insert(L, -2);
		}
		lua_concat(L, i > 1 ? 3 : 2);
	}
	lua_pop(L, 1);
}

/* fields[name in lower case] = the value on top of the stack, which is popped. */
static void put_field(lua_State *L, int fields, const char *name)
{
	static const char *const unsent[] = { "connection", "expect", "transfer-encoding",
		"user-agent", "x-amzn-trace-id" }; /* not as written here, or changed on the way */
	luaL_Buffer b;

	if (!*name || name[strspn(name, ALNUM "!#$%&'*+-.^_`|~")])
		luaL_error(L, "the name of a header has a character that none may have");
	for (size_t i = 0; i < sizeof unsent / sizeof *unsent; i++)
		if (strcasecmp(name, unsent[i]) == 0) {
			lua_pop(L, 1);
			return;
		}
	push_value(L, name);
	luaL_buffinit(L, &b);
	for (const char *p = name; *p; p++)
		luaL_addchar(&b, (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p));
	luaL_pushresult(&b);
	lua_pushvalue(L, -1);
	if (lua_rawget(L, fields) != LUA_TNIL)
		luaL_error(L, "header %s is there twice; several values are given as a list", name);
	lua_pop(L, 1);
	lua_insert(L, -2);
	lua_rawset(L, fields);
	lua_pop(L, 1);
}

/* Put the headers of the table at index `from`. */
static void put_fields(lua_State *L, int fields, int from)
{
	for (lua_pushnil(L); lua_next(L, from);) {
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "the name of a header must be a string");
		put_field(L, fields, lua_tostring(L, -2));
	}
}

/* Push {name = value}: what the signature adds, itself aside. */
static void push_added(lua_State *L, const struct signing *s)
{
	lua_newtable(L);
	lua_pushstring(L, s->date);
	lua_setfield(L, -2, "X-Amz-Date");
	lua_pushstring(L, s->token);
	lua_setfield(L, -2, "X-Amz-Security-Token");
	if (s->sign_body) {
		lua_pushstring(L, s->body);
		lua_setfield(L, -2, "X-Amz-Content-Sha256");
	}
}

/* Push {name in lower case = canonical value} of all that is signed. */
static void push_fields(lua_State *L, const struct signing *s, int request, int added)
{
	lua_newtable(L);
	int fields = lua_gettop(L);
	if (lua_getfield(L, request, "headers") == LUA_TTABLE)
		put_fields(L, fields, fields + 1);
	else if (!lua_isnil(L, -1))
		luaL_error(L, "headers must be a table");
	lua_settop(L, fields);
	if (lua_getfield(L, fields, "authorization") != LUA_TNIL)
		luaL_error(L, "a request that is to be signed must have no Authorization");
	if (lua_getfield(L, fields, "host") == LUA_TNIL) {
		lua_pushlstring(L, s->host.s, s->host.n);
		if (s->port) {
			lua_pushfstring(L, ":%d", (int)s->port);
			lua_concat(L, 2);
		}
		put_field(L, fields, "host");
	}
	put_fields(L, fields, added);
	lua_settop(L, fields);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Push the names of the table at index `fields`, sorted and joined by ;, then their lines. */
static void push_lines(lua_State *L, int fields)
{
	size_t count = 0, filled = 0;
	luaL_Buffer b;

	for (lua_pushnil(L); lua_next(L, fields); lua_pop(L, 1))
		count++;
	const char **names = lua_newuserdatauv(L, count * sizeof *names, 0);
	for (lua_pushnil(L); lua_next(L, fields); lua_pop(L, 1))
		names[filled++] = lua_tostring(L, -2);
	qsort(names, count, sizeof *names, compare_names);
	luaL_buffinit(L, &b);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			luaL_addchar(&b, ';');
		luaL_addstring(&b, names[i]);
	}
	luaL_pushresult(&b);
	luaL_buffinit(L, &b);
	for (size_t i = 0; i < count; i++) {
		luaL_addstring(&b, names[i]);
		luaL_addchar(&b, ':');
		lua_getfield(L, fields, names[i]);
		luaL_addvalue(&b);
		luaL_addchar(&b, '\n');
	}
	luaL_pushresult(&b);
}

/* Push the names of the signed headers, the canonical request and the string to sign. */
static void push_canonical(lua_State *L, const struct signing *s, int request, int added)
{
	char digest[2 * DIGEST + 1];
	size_t n;

	push_fields(L, s, request, added);
	push_lines(L, lua_gettop(L));
	const char *lines = lua_tostring(L, -1), *names = lua_tostring(L, -2);
	push_path(L, s);
	const char *path = lua_tostring(L, -1);
	push_query(L, s);
	const char *query = lua_tostring(L, -1);
	lua_pushstring(L, names);
	lua_pushfstring(L, "%s\n%s\n%s\n%s\n%s\n%s", s->method, path, query, lines, names, s->body);
	const char *canonical = lua_tolstring(L, -1, &n);
	hash(L, canonical, n, digest);
	lua_pushfstring(L, ALGORITHM "\n%s\n%s/%s/%s/aws4_request\n%s", s->date, s->day, s->region,
	    s->service, digest);
}

/* The signature. */

static bool hmac(const void *key, size_t keys, const char *s, size_t n, unsigned char out[DIGEST])
{
	return EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, keys, (const unsigned char *)s, n,
		   out, DIGEST, NULL) != NULL;
}

static bool sign(
    const struct signing *s, const char *text, size_t n, char signature[2 * DIGEST + 1])
{
	const char *scope[] = { s->region, s->service, "aws4_request" };
	unsigned char key[4 + SECRET_MAX] = "AWS4", digest[DIGEST];

	memcpy(key + 4, s->secret.s, s->secret.n);
	bool ok = hmac(key, 4 + s->secret.n, s->day, strlen(s->day), digest);
	for (size_t i = 0; ok && i < sizeof scope / sizeof *scope; i++)
		ok = hmac(digest, DIGEST, scope[i], strlen(scope[i]), digest);
	ok = ok && hmac(digest, DIGEST, text, n, digest);
	to_hex(digest, signature);
	OPENSSL_cleanse(key, sizeof key);
	return ok;
}

void sigv4_headers(lua_State *L, int request, int keys, double now)
{
	char signature[2 * DIGEST + 1];
	struct signing s;
	int top = lua_gettop(L);
	size_t n;

	read_signing(L, request, keys, now, &s);
	push_added(L, &s);
	int added = lua_gettop(L);
	push_canonical(L, &s, request, added);
	const char *text = lua_tolstring(L, -1, &n), *names = lua_tostring(L, -3);
	if (!sign(&s, text, n, signature))
		luaL_error(L, "this system's OpenSSL refuses HMAC with SHA256");
	lua_pushfstring(L,
	    ALGORITHM " Credential=%s/%s/%s/%s/aws4_request, SignedHeaders=%s, Signature=%s",
	    s.access_key, s.day, s.region, s.service, names, signature);
	lua_setfield(L, added, "Authorization");
	lua_pushvalue(L, added);
	lua_replace(L, top + 1);
	lua_settop(L, top + 1);
}

/* sigv4.sign{method=, url=, headers={}, body=, service=, region=, access_key=, secret_key=, token=,
 * time=, normalize=, sign_body=} -> headers */
static int sigv4_sign(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	sigv4_headers(L, 1, 1, -1);
	return 1;
}

/* sigv4.canonical{as for sign} -> canonical request, string to sign */
static int sigv4_canonical(lua_State *L)
{
	struct signing s;

	luaL_checktype(L, 1, LUA_TTABLE);
	read_signing(L, 1, 1, -1, &s);
	push_added(L, &s);
	push_canonical(L, &s, 1, lua_gettop(L));
	return 2;
}

int luaopen_core_sigv4(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "canonical", sigv4_canonical },
		{ "sign", sigv4_sign },
		{ NULL, NULL },
	};

	luaL_newlib(L, functions);
	return 1;
}
