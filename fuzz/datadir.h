/* datadir.h - lua/datadir.lua and lua/wal.lua for the harnesses that fuzz them.  libFuzzer sees no
 * branch of Lua, so a line hook tells it: each step from line to line is a counter of its own.
 *
 * With FUZZ_LINES=FILE the lines run and the lines there are stand in FILE at the end, counted over
 * the function under test and the local functions that it uses.
 */
#ifndef EB_FUZZ_DATADIR_H
#define EB_FUZZ_DATADIR_H

#include "etcd.h"
#include "fuzz.h"
#include "loop.h"

#include <string.h>

#define LINES 2000

__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t steps[1 << 14];

static struct {
	bool run[LINES], active[LINES],
	    known[LINES]; /* known: by the line where a function begins */
	int last;
} lines;

static char ours[32]; /* the chunk under test */

static bool is_ours(const lua_Debug *ar)
{
	return ar->source && strcmp(ar->source, ours) == 0;
}

/* Note the lines of the function described by ar, whose table of lines is on top, and pop it.  The
 * last one is the `end`, which a function that returns before does not reach. */
static void note_function(lua_State *L, const lua_Debug *ar)
{
	if (is_ours(ar) && !lines.known[ar->linedefined % LINES]) {
		lines.known[ar->linedefined % LINES] = true;
		for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
			if (lua_tointeger(L, -2) != ar->lastlinedefined)
				lines.active[lua_tointeger(L, -2) % LINES] = true;
	}
	lua_pop(L, 1);
}

/* Note the function on top and the functions that it uses, and pop it. */
static void note_closure(lua_State *L)
{
	lua_Debug ar;

	luaL_checkstack(L, 10, NULL);
	lua_pushvalue(L, -1);
	lua_getinfo(L, ">SL", &ar);
	bool fresh = is_ours(&ar) && !lines.known[ar.linedefined % LINES];
	note_function(L, &ar);
	for (int i = 1; fresh && lua_getupvalue(L, -1, i); i++) {
		if (lua_isfunction(L, -1) && !lua_iscfunction(L, -1))
			note_closure(L);
		else
			lua_pop(L, 1);
	}
	lua_pop(L, 1);
}

static void hook(lua_State *L, lua_Debug *ar)
{
	if (ar->event == LUA_HOOKLINE) {
		lua_getinfo(L, "S", ar);
		if (!is_ours(ar))
			return;
		int line = ar->currentline % LINES;
		lines.run[line] = true;
		steps[(size_t)(lines.last * 131 + line) % sizeof steps]++;
		lines.last = line;
	} else if (getenv("FUZZ_LINES")) {
		lua_getinfo(L, "SL", ar);
		if (lua_istable(L, -1))
			note_function(L, ar);
		else
			lua_pop(L, 1);
	}
}

static void write_lines(void)
{
	FILE *f = fopen(getenv("FUZZ_LINES"), "w");
	int run = 0, active = 0;

	MUST(f);
	for (int i = 0; i < LINES; i++) {
		active += lines.active[i];
		run += lines.active[i] && lines.run[i];
	}
	fprintf(f, "%d %d", run, active);
	for (int i = 0; i < LINES; i++)
		if (lines.active[i] && !lines.run[i])
			fprintf(f, " %d", i);
	fprintf(f, "\n");
	fclose(f);
}

static int now(lua_State *L)
{
	lua_pushnumber(L, 0);
	return 1;
}

/* Push nothing; the primitives that they require stand ready. */
static void preload(lua_State *L)
{
	static const luaL_Reg task[] = { { "now", now }, { NULL, NULL } };
	static const luaL_Reg etcd[] = { { "decimal", etcd_decimal }, { "hex", etcd_hex },
		{ NULL, NULL } };
	static const luaL_Reg fs[] = { { NULL, NULL } };

	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
	luaL_newlib(L, task);
	lua_setfield(L, -2, "core.task");
	luaL_newlib(L, etcd);
	lua_setfield(L, -2, "core.etcd");
	luaL_newlib(L, fs);
	lua_setfield(L, -2, "core.fs");
	lua_pop(L, 1);
	luaL_requiref(L, "core.json", luaopen_core_json, 0);
	luaL_requiref(L, "core.wal", luaopen_core_wal, 0);
	lua_pop(L, 2);
}

/* The state with the function of that name, of that module, on its stack. */
static lua_State *datadir_state(const char *module, const char *name)
{
	static bool ready;
	lua_State *L = fuzz_state();

	if (!ready) {
		ready = true;
		preload(L);
		snprintf(ours, sizeof ours, "@lua/%s.lua", module);
		MUST(luaL_dostring(L, "package.path = 'lua/?.lua' return require") == LUA_OK);
		lua_pushstring(L, module);
		MUST(lua_pcall(L, 1, 1, 0) == LUA_OK);
		lua_setglobal(L, "module");
		lua_getglobal(L, "module");
		lua_getfield(L, -1, name);
		note_closure(L);
		lua_settop(L, 0);
		if (getenv("FUZZ_LINES"))
			atexit(write_lines);
	}
	lua_sethook(L, hook, LUA_MASKLINE | LUA_MASKCALL, 0);
	lines.last = 0;
	lua_getglobal(L, "module");
	lua_getfield(L, -1, name);
	lua_remove(L, -2);
	return L;
}

#endif
