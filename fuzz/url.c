/* url.c - fuzzes core.net: URLs, addresses, ranges.  The canonical form of a canonical form is
 * itself, all ways to it agree, and no refusal repeats a password.
 *
 * The whole input is one text; cut at its first space it is also a pair, for what takes two.
 */
#include "fuzz.h"
#include "loop.h"
#include "net.h"

#include <stdbool.h>
#include <string.h>

#define SECRET "s3cr3t"

static lua_State *L;

/* Call net[name] with the texts on top of the stack; the results start at the index returned. */
static int call(const char *name, int n)
{
	int at = lua_gettop(L) - n + 1;

	lua_getglobal(L, "net");
	lua_getfield(L, -1, name);
	lua_remove(L, -2);
	lua_insert(L, at);
	fuzz_call(L, n);
	return at;
}

static void check_failure(int at)
{
	MUST(lua_gettop(L) == at + 2 && lua_isnil(L, at));
	MUST(lua_type(L, at + 1) == LUA_TSTRING && strcmp(lua_tostring(L, at + 2), "parse") == 0);
}

/* The secret is one when an @ follows it, or when ? or # went before, and it stands nowhere else.
 */
static bool hides(const char *text, size_t n)
{
	const char *secret = memmem(text, n, SECRET, strlen(SECRET)), *last = memrchr(text, '@', n);

	if (!secret)
		return false;
	size_t left = (size_t)(text + n - secret) - strlen(SECRET);
	if (memmem(secret + 1, left + strlen(SECRET) - 1, SECRET, strlen(SECRET)))
		return false;
	return secret < last || memchr(text, '?', (size_t)(secret - text)) ||
	       memchr(text, '#', (size_t)(secret - text));
}

static void check_url(const char *text, size_t n)
{
	char form[512], again[512];
	bool ok = net_canonical(text, n, form, sizeof form);

	lua_pushlstring(L, text, n);
	int at = call("url", 1);
	if (!ok) {
		check_failure(at);
		MUST(!hides(text, n) || !strstr(lua_tostring(L, at + 1), SECRET));
		return;
	}
	MUST(net_canonical(form, strlen(form), again, sizeof again) && strcmp(form, again) == 0);
	lua_getfield(L, at, "url");
	MUST(strcmp(lua_tostring(L, -1), form) == 0);
	lua_pushlstring(L, text, n);
	lua_pushstring(L, form);
	MUST(lua_toboolean(L, call("same", 2)));
	lua_getfield(L, at, "scheme");
	lua_getfield(L, at, "host");
	lua_getfield(L, at, "port");
	MUST(strcmp(lua_tostring(L, call("join", 3)), form) == 0);
}

static void check_address(const char *text, size_t n)
{
	lua_pushlstring(L, text, n);
	int at = call("address", 1);
	if (lua_isnil(L, at)) {
		check_failure(at);
		return;
	}
	const char *form = lua_tostring(L, at);
	bool v4 = lua_tointeger(L, at + 1) == 4;
	lua_pushstring(L, form);
	MUST(strcmp(lua_tostring(L, call("address", 1)), form) == 0);
	lua_pushstring(L, form);
	lua_pushfstring(L, "%s/%d", form, v4 ? 32 : 128);
	MUST(lua_toboolean(L, call("inside", 2)));
	lua_pushstring(L, form);
	lua_pushstring(L, v4 ? "0.0.0.0/0" : "::/0");
	MUST(lua_toboolean(L, call("inside", 2)));
}

static void check_pair(const char *text, size_t n)
{
	const char *space = memchr(text, ' ', n);

	if (!space)
		return;
	size_t first = (size_t)(space - text);
	lua_pushlstring(L, text, first);
	lua_pushlstring(L, space + 1, n - first - 1);
	int at = call("inside", 2);
	if (!lua_isboolean(L, at))
		check_failure(at);
	lua_pushlstring(L, text, first);
	lua_pushlstring(L, space + 1, n - first - 1);
	at = call("same", 2);
	lua_pushlstring(L, space + 1, n - first - 1);
	lua_pushlstring(L, text, first);
	MUST(lua_toboolean(L, at) == lua_toboolean(L, call("same", 2)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *text = n ? (const char *)data : "";

	L = fuzz_state();
	luaL_checkstack(L, 50, NULL);
	luaL_requiref(L, "net", luaopen_core_net, 1);
	check_url(text, n);
	check_address(text, n);
	check_pair(text, n);
	return 0;
}
