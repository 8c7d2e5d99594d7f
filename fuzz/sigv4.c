/* sigv4.c - fuzzes the signing of requests.  A canonical form has the alphabet and the order that
 * it must have, is its own canonical form for S3, and no refusal repeats a secret.
 *
 * The input's lines are URL, method, secret, region and header name; the rest is header value and
 * body both.  Signing needs no random: the same request has the same signature again.
 */
#include "fuzz.h"
#include "loop.h"

#include <stdbool.h>
#include <string.h>

#define SECRET "hU5H" /* before what the input has as secret; no name of a header becomes it */
#define UNRESERVED "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"

static lua_State *L;
static const char *rest;
static size_t left;
static bool secret; /* it is one: the input itself has it nowhere */

/* Push the next line of the input. */
static void push_line(void)
{
	const char *end = memchr(rest, '\n', left);
	size_t n = end ? (size_t)(end - rest) : left;

	lua_pushlstring(L, rest, n);
	rest += end ? n + 1 : n;
	left -= end ? n + 1 : n;
}

static void set(const char *name)
{
	lua_setfield(L, 1, name);
}

/* Push all that is left, one time in three as a list. */
static void push_value(void)
{
	bool list = left % 3 == 0;

	if (list)
		lua_newtable(L);
	for (lua_Integer i = 1; i <= 1 + list; i++) {
		lua_pushlstring(L, rest, left);
		if (list)
			lua_rawseti(L, -2, i);
	}
}

/* Put the request at index 1. */
static void make(void)
{
	lua_newtable(L);
	push_line();
	set("url");
	push_line();
	if (lua_rawlen(L, -1) == 0)
		lua_pop(L, 1);
	else
		set("method");
	lua_pushliteral(L, SECRET);
	push_line();
	lua_concat(L, 2);
	lua_pushvalue(L, -1);
	set("token");
	set("secret_key");
	push_line();
	set("region");
	lua_newtable(L);
	push_line();
	push_value();
	lua_rawset(L, -3);
	set("headers");
	lua_pushlstring(L, rest, left);
	set("body");
	lua_pushstring(L, left % 2 ? "s3" : "ec2");
	set("service");
	lua_pushliteral(L, "AKIDEXAMPLE");
	set("access_key");
	lua_pushinteger(L, (lua_Integer)left * 86399);
	set("time");
}

/* Push the results of sigv4[name] of the request; false, with the message, when it raises. */
static bool call(const char *name)
{
	int top = lua_gettop(L);

	lua_getglobal(L, "sigv4");
	lua_getfield(L, -1, name);
	lua_remove(L, -2);
	lua_pushvalue(L, 1);
	if (lua_pcall(L, 1, LUA_MULTRET, 0) == LUA_OK)
		return true;
	MUST(lua_gettop(L) == top + 1 && lua_type(L, -1) == LUA_TSTRING);
	MUST(!secret || !strstr(lua_tostring(L, -1), SECRET));
	return false;
}

/* Encoded text: unreserved characters, %XX and those of `more`. */
static void check_encoded(const char *s, size_t n, const char *more)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '%') {
			MUST(n - i > 2 && strspn(s + i + 1, "0123456789ABCDEFabcdef") >= 2);
			i += 2;
		} else {
			MUST(s[i] && (strchr(UNRESERVED, s[i]) || strchr(more, s[i])));
		}
	}
}

static int compare(const char *a, size_t n, const char *b, size_t m)
{
	int sign = memcmp(a, b, n < m ? n : m);

	return sign ? sign : (n > m) - (n < m);
}

static void check_query(const char *s, size_t n)
{
	const char *end = s + n, *before = NULL;
	size_t key_before = 0, value_before = 0;

	check_encoded(s, n, "=&");
	for (; s < end; s += strcspn(s, "&\n") + 1) {
		size_t key = strcspn(s, "=&\n"), value = strcspn(s + key + 1, "&\n");

		MUST(s[key] == '=' && !memchr(s + key + 1, '=', value));
		int order = before ? compare(before, key_before, s, key) : -1;
		if (order == 0)
			order = compare(before + key_before + 1, value_before, s + key + 1, value);
		MUST(order <= 0);
		before = s;
		key_before = key;
		value_before = value;
	}
}

/* Sign the canonical path and query as S3's: they are their own canonical form. */
static void check_again(const char *path, size_t n, const char *query, size_t m)
{
	lua_pushliteral(L, "http://host");
	lua_pushlstring(L, path, n);
	lua_pushliteral(L, "?");
	lua_pushlstring(L, query, m);
	lua_concat(L, 4);
	set("url");
	lua_pushliteral(L, "s3");
	set("service");
	lua_newtable(L);
	set("headers");
	MUST(call("canonical"));
	const char *again = strchr(lua_tostring(L, -2), '\n') + 1;
	MUST(strncmp(again, path, n) == 0 && again[n] == '\n');
	MUST(strncmp(again + n + 1, query, m) == 0 && again[n + 1 + m] == '\n');
}

static void check_canonical(void)
{
	int top = lua_gettop(L);

	MUST(call("canonical") && lua_gettop(L) == top + 2);
	const char *form = lua_tostring(L, top + 1), *last = strrchr(form, '\n');
	MUST(strlen(last + 1) == 64 && strspn(last + 1, "0123456789abcdef") == 64);
	MUST(strncmp(lua_tostring(L, top + 2), "AWS4-HMAC-SHA256\n", 17) == 0);
	const char *path = strchr(form, '\n') + 1;
	size_t n = strcspn(path, "\n"), m = strcspn(path + n + 1, "\n");
	MUST(*path == '/');
	check_encoded(path, n, "/");
	check_query(path + n + 1, m);
	check_again(path, n, path + n + 1, m);
}

/* What was signed is on top of the stack. */
static void check_signature(void)
{
	lua_getfield(L, -1, "Authorization");
	MUST(call("sign"));
	lua_getfield(L, -1, "Authorization");
	MUST(lua_rawequal(L, -1, -3));
	const char *last = strrchr(lua_tostring(L, -1), '=');
	MUST(last && strspn(last + 1, "0123456789abcdef") == 64 && !last[65]);
	MUST(!secret || !strstr(lua_tostring(L, -1), SECRET));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	rest = n ? (const char *)data : "";
	left = n;
	secret = !memmem(rest, n, SECRET, strlen(SECRET));
	L = fuzz_state();
	luaL_requiref(L, "sigv4", luaopen_core_sigv4, 1);
	lua_settop(L, 0);
	make();
	if (call("sign")) {
		check_signature();
		check_canonical();
	}
	fuzz_state(); /* what is left over now is a leak, and is searched for, which takes long */
	return 0;
}
