/* json.c - fuzzes the JSON reader; what it accepts is written, read and written again, and the
 * two texts must be the same.
 */
#include "json.h"
#include "fuzz.h"
#include "loop.h"

#include <string.h>

static void encode(lua_State *L, const char *name)
{
	lua_getglobal(L, "json");
	lua_getfield(L, -1, "encode");
	lua_pushvalue(L, -3);
	fuzz_call(L, 1);
	lua_setglobal(L, name);
	lua_pop(L, 2);
}

static void check_refusal(lua_State *L, size_t n)
{
	static const char start[] = "bad JSON at byte ";
	const char *text = lua_tostring(L, -1);

	MUST(text && strncmp(text, start, strlen(start)) == 0);
	unsigned long long at = strtoull(text + strlen(start), NULL, 10);
	MUST(at >= 1 && at <= n + 1);
}

static void check_value(lua_State *L)
{
	size_t n, m;

	encode(L, "first");
	lua_getglobal(L, "first");
	const char *first = lua_tolstring(L, -1, &n);
	MUST(json_decode(L, first, n));
	encode(L, "second");
	lua_getglobal(L, "second");
	const char *second = lua_tolstring(L, -1, &m);
	MUST(n == m && memcmp(first, second, n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	lua_State *L = fuzz_state();

	luaL_requiref(L, "json", luaopen_core_json, 1);
	lua_settop(L, 0);
	bool ok = json_decode(L, (const char *)data, n);
	MUST(lua_gettop(L) == 1);
	if (ok)
		check_value(L);
	else
		check_refusal(L, n);
	lua_settop(L, 0);
	lua_getglobal(L, "json");
	lua_getfield(L, -1, "decode");
	lua_pushlstring(L, (const char *)data, n);
	fuzz_call(L, 1);
	MUST(ok ? lua_gettop(L) == 2 : lua_isnil(L, 2) && strcmp(lua_tostring(L, 4), "parse") == 0);
	return 0;
}
