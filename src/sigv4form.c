/* sigv4form.c - the form of a request that is signed: what the service makes of the bytes it gets.
 *
 * Every service but S3 takes dot segments and double slashes out of the path and encodes once more
 * what was encoded already; S3 takes the path as it came.
 */
#include "sigv4form.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

struct pair { /* of a query, encoded */
	const char *s;
	size_t key, n; /* key: bytes before its = */
};

void form_url(struct signing *s, const char *url)
{
	bool tls = strncasecmp(url, "https:", 6) == 0;
	const char *after = url + strspn(url, ALNUM);

	s->host.s = strncmp(after, "://", 3) == 0 ? after + 3 : url;
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

void form_push(lua_State *L, const struct signing *s, int request, int added)
{
	push_fields(L, s, request, added);
	push_lines(L, lua_gettop(L));
	const char *lines = lua_tostring(L, -1), *names = lua_tostring(L, -2);
	push_path(L, s);
	const char *path = lua_tostring(L, -1);
	push_query(L, s);
	const char *query = lua_tostring(L, -1);
	lua_pushstring(L, names);
	lua_pushfstring(L, "%s\n%s\n%s\n%s\n%s\n%s", s->method, path, query, lines, names, s->body);
}
