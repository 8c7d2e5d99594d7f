/* claim.c - fuzzes the text of a claim; what must hold of it stands in claim.lua. */
#include "datadir.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static bool ready;
	lua_State *L = datadir_state("datadir", "parse_claim");

	if (!ready) {
		ready = true;
		MUST(luaL_dofile(L, "fuzz/claim.lua") == LUA_OK);
		lua_setglobal(L, "check");
	}
	lua_getglobal(L, "check");
	lua_pushlstring(L, (const char *)data, n);
	fuzz_call(L, 1);
	return 0;
}
