/* fuzz.h - what the harnesses share: one Lua state for a whole run, and stopping when what must
 * always hold does not.  Each harness is one libFuzzer target and includes this once.
 */
#ifndef EB_FUZZ_H
#define EB_FUZZ_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "broken: %s (%s:%d)\n", #condition, __FILE__, __LINE__);   \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* The state, with Lua's own libraries and nothing on its stack; garbage of the last run is gone,
 * so that what an input leaves behind is found with that input. */
static inline lua_State *fuzz_state(void)
{
	static lua_State *L;

	if (!L) {
		L = luaL_newstate();
		MUST(L);
		luaL_openlibs(L);
	}
	lua_settop(L, 0);
	lua_gc(L, LUA_GCCOLLECT);
	return L;
}

/* Call the function below its n arguments; an error is a fault.  Leaves all results. */
static inline void fuzz_call(lua_State *L, int n)
{
	if (lua_pcall(L, n, LUA_MULTRET, 0) != LUA_OK) {
		fprintf(stderr, "raised: %s\n", luaL_tolstring(L, -1, NULL));
		abort();
	}
}

#endif
