/* http.c - core.http: one transfer, waited for by one task. */
#include "http.h"
#include "loop.h"
#include "sigv4.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define REQUEST "core.http.request"

struct request {
	struct op op;
	struct transfer transfer;
	struct tls tls;
};

static int request_gc(lua_State *L)
{
	struct request *r = luaL_checkudata(L, 1, REQUEST);

	http_end(&r->transfer);
	return 0;
}

static void request_finished(struct transfer *t)
{
	loop_done(&((struct request *)((char *)t - offsetof(struct request, transfer)))->op);
}

/* Push {name = value}: names in lower case, equal ones joined. */
static void push_headers(lua_State *L, const char *s)
{
	const char *colon, *value, *end, *next;

	lua_newtable(L);
	for (; (next = http_split(s, &colon, &value, &end)); s = next) {
		luaL_Buffer name;
		if (!colon)
			continue;
		luaL_buffinit(L, &name);
		for (const char *p = s; p < colon; p++)
			luaL_addchar(&name, (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p));
		luaL_pushresult(&name);
		lua_pushvalue(L, -1);
		if (lua_rawget(L, -3) == LUA_TSTRING) {
			lua_pushliteral(L, ", ");
		} else {
			lua_pop(L, 1);
			lua_pushliteral(L, "");
			lua_pushliteral(L, "");
		}
		lua_pushlstring(L, value, (size_t)(end - value));
		lua_concat(L, 3);
		lua_rawset(L, -3);
	}
}

static int push_response(lua_State *L, struct op *op)
{
	struct transfer *t = &((struct request *)op)->transfer;
	char why[512], url[512], *effective = NULL;

	if (t->result != CURLE_OK) {
		const char *code = http_explain(t, why, sizeof why);
		curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &effective);
		http_redact(effective ? effective : "", url, sizeof url);
		return fail(L, code, "%s: %s", url, why);
	}
	lua_createtable(L, 0, 3);
	lua_pushinteger(L, t->status);
	lua_setfield(L, -2, "status");
	lua_pushlstring(L, t->body.s ? t->body.s : "", t->body.n);
	lua_setfield(L, -2, "body");
	push_headers(L, t->head.s);
	lua_setfield(L, -2, "headers");
	return 1;
}

/* Push o[key], which stays on the stack: the transfer borrows it.  NULL when nil. */
static const char *text(lua_State *L, int o, const char *key)
{
	if (lua_getfield(L, o, key) != LUA_TNIL && lua_type(L, -1) != LUA_TSTRING)
		luaL_error(L, "%s must be a string", key);
	return lua_tostring(L, -1);
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

static double number(lua_State *L, int o, const char *key, double otherwise)
{
	if (lua_getfield(L, o, key) != LUA_TNIL && lua_type(L, -1) != LUA_TNUMBER)
		luaL_error(L, "%s must be a number", key);
	double value = luaL_optnumber(L, -1, otherwise);
	lua_pop(L, 1);
	return value;
}

void http_tls(lua_State *L, int o, const char *key, struct tls *tls)
{
	int type = lua_getfield(L, o, key);
	int at = lua_gettop(L);

	*tls = (struct tls){ 0 };
	if (type == LUA_TNIL)
		return;
	if (type != LUA_TTABLE)
		luaL_error(L, "%s must be a table", key);
	tls->ca = text(L, at, "ca");
	tls->cert = text(L, at, "cert");
	tls->key = text(L, at, "key");
	tls->insecure = !flag(L, at, "verify", true);
	if (!tls->cert != !tls->key)
		luaL_error(L, "%s needs both cert and key", key);
}

/* Add one header, whose value is on top of the stack. */
static void add_line(lua_State *L, struct transfer *t, const char *name)
{
	const char *value = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;

	if (strpbrk(name, "\r\n:") || !value || strpbrk(value, "\r\n")) {
		luaL_error(L, "a header must be one line, or a list of lines");
		return;
	}
	/* libcurl sends an empty value only when asked with a semicolon */
	lua_pushfstring(L, *value ? "%s: %s" : "%s;", name, value);
	if (!http_header(t, lua_tostring(L, -1)))
		luaL_error(L, "out of memory");
	lua_pop(L, 1);
}

/* Add the headers of the table on top of the stack, which is popped. */
static void add_headers(lua_State *L, struct transfer *t)
{
	int at = lua_gettop(L);

	if (!lua_istable(L, at))
		luaL_error(L, "headers must be a table");
	for (lua_pushnil(L); lua_next(L, at); lua_settop(L, at + 1)) {
		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "the name of a header must be a string");
		const char *name = lua_tostring(L, -2);
		if (lua_type(L, -1) != LUA_TTABLE)
			add_line(L, t, name);
		else
			for (lua_Integer i = 1; lua_rawgeti(L, at + 2, i) != LUA_TNIL; i++)
				add_line(L, t, name);
	}
	lua_pop(L, 1);
}

/* Whether the header was given; its name ends in a colon. */
static bool has_header(const struct transfer *t, const char *name)
{
	size_t n = strlen(name) - 1;
	const struct curl_slist *h = t->headers;

	while (h && !(strncasecmp(h->data, name, n) == 0 && strchr(":;", h->data[n])))
		h = h->next;
	return h;
}

/* The headers given, those that sign them, and none that libcurl would add on its own: it guesses
 * the type of a body, and lets a large one wait a second for an answer that hardly anybody gives.
 */
static void set_headers(lua_State *L, int o, struct transfer *t)
{
	static const char *const unasked[] = { "Content-Type:", "Expect:" };

	if (lua_getfield(L, o, "headers") != LUA_TNIL)
		add_headers(L, t);
	int type = lua_getfield(L, o, "sign");
	if (type == LUA_TTABLE) {
		sigv4_headers(L, o, lua_gettop(L), (double)time(NULL));
		add_headers(L, t);
		/* the path is signed with its dots */
		curl_easy_setopt(t->easy, CURLOPT_PATH_AS_IS, 1L);
	} else if (type != LUA_TNIL) {
		luaL_error(L, "sign must be a table");
	}
	for (size_t i = 0; i < sizeof unasked / sizeof *unasked; i++)
		if (!has_header(t, unasked[i]) && !http_header(t, unasked[i]))
			luaL_error(L, "out of memory");
}

static void set_method(lua_State *L, int o, CURL *easy)
{
	size_t n = 0;
	const char *method = text(L, o, "method");
	const char *body = text(L, o, "body");

	if (method && strcmp(method, "HEAD") == 0) {
		if (body)
			luaL_error(L, "a HEAD has no body");
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (!body && method && (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0))
		body = ""; /* its length of 0 is sent */
	if (body) {
		lua_tolstring(L, -1, &n);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
	}
	if (method)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

/* The environment's proxies, but never on the way to this machine or its metadata.  Addresses are
 * named as well as ranges: libcurl 7.88 finds no IPv6 address in a range. */
static void use_proxy(lua_State *L, CURL *easy)
{
	static const char near[] =
	    "localhost,127.0.0.0/8,169.254.0.0/16,::1,fe80::/10,fd00:ec2::/32,"
	    "fd00:ec2::254,fd00:ec2::23,fd20:ce::254,metadata.google.internal";
	const char *none = getenv("no_proxy");

	if (!none)
		none = getenv("NO_PROXY");
	lua_pushfstring(L, "%s%s%s", none ? none : "", none && *none ? "," : "", near);
	if (none && strcmp(none, "*") == 0)
		return;
	curl_easy_setopt(easy, CURLOPT_PROXY, NULL);
	curl_easy_setopt(easy, CURLOPT_NOPROXY, lua_tostring(L, -1));
}

/* http.request{url=, method=, headers={}, body=, sign={}, timeout=, connect_timeout=, limit=, tls=,
 * proxy=} -> {status=, headers={}, body=} | nil, message, code   (waits) */
static int http_request(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	struct request *r = lua_newuserdatauv(L, sizeof *r, 0);
	*r = (struct request){ .op.push = push_response, .transfer.finished = request_finished };
	luaL_setmetatable(L, REQUEST);
	lua_toclose(L, 2); /* however this ends, the transfer ends with it */
	struct transfer *t = &r->transfer;

	luaL_checkstack(L, 20, NULL);
	const char *url = text(L, 1, "url");
	luaL_argcheck(L, url, 1, "url is missing");
	http_tls(L, 1, "tls", &r->tls);
	double limit = number(L, 1, "limit", (double)HTTP_LIMIT);
	luaL_argcheck(L, limit >= 1 && limit < 1e12, 1, "limit is out of range");
	t->limit = (size_t)limit;
	if (!http_begin(t, url, &r->tls))
		return luaL_error(L, "out of memory");
	http_deadline(t, number(L, 1, "connect_timeout", 2), number(L, 1, "timeout", 10));
	set_method(L, 1, t->easy);
	set_headers(L, 1, t);
	if (flag(L, 1, "proxy", false))
		use_proxy(L, t->easy);
	if (!http_start(t))
		return luaL_error(L, "out of memory");
	return loop_wait(L, &r->op);
}

int luaopen_core_http(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__close", request_gc },
		{ "__gc", request_gc },
		{ NULL, NULL },
	};
	static const luaL_Reg functions[] = { { "request", http_request }, { NULL, NULL } };

	new_type(L, REQUEST, meta, NULL);
	luaL_newlib(L, functions);
	return 1;
}
