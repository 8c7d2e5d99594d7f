/* main.c - starts the interpreter and hands over to lua/cli.lua; the only file that prints a final
 * error or exits.
 *
 * `etcd-bootstrap lua FILE ARGS` runs a file as the stock interpreter would, with the primitives
 * preloaded: it waits outside of tasks and keeps package.path, so that specs see the working copy.
 * Every other verb finds modules in the binary alone; policy.lua adds the user's own.
 */
#include "embed.h"
#include "loop.h"

#include <fcntl.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FAILED 1
#define REFUSED 111 /* the system refused something basic */

struct call {
	int argc;
	char **argv;
	bool file; /* lua FILE ARGS */
	int exit;
};

static const luaL_Reg modules[] = {
	{ "core.crypto", luaopen_core_crypto },
	{ "core.etcd", luaopen_core_etcd },
	{ "core.fs", luaopen_core_fs },
	{ "core.gate", luaopen_core_gate },
	{ "core.http", luaopen_core_http },
	{ "core.json", luaopen_core_json },
	{ "core.log", luaopen_core_log },
	{ "core.net", luaopen_core_net },
	{ "core.proc", luaopen_core_proc },
	{ "core.serve", luaopen_core_serve },
	{ "core.sigv4", luaopen_core_sigv4 },
	{ "core.task", luaopen_core_task },
	{ "core.wal", luaopen_core_wal },
	{ "core.xml", luaopen_core_xml },
	{ NULL, NULL },
};

/* package.searchers entry for what lua/ held when this was built */
static int find_embedded(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1);

	for (const struct embedded *e = embedded; e->module; e++) {
		if (strcmp(e->module, name) != 0)
			continue;
		if (luaL_loadbufferx(L, e->source, e->size, e->chunk, "t") != LUA_OK)
			return lua_error(L);
		lua_pushstring(L, e->chunk + 1);
		return 2;
	}
	lua_pushfstring(L, "no embedded module '%s'", name);
	return 1;
}

/* Stock searchers are 1 preload, 2 Lua, 3 C, 4 C all in one. */
static void set_searchers(lua_State *L, bool stock)
{
	lua_getglobal(L, "package");
	if (!stock) {
		lua_pushliteral(L, "");
		lua_setfield(L, -2, "path");
		lua_pushliteral(L, "");
		lua_setfield(L, -2, "cpath");
	}
	lua_getfield(L, -1, "searchers");
	for (lua_Integer i = 4; i > 1 && !stock; i--) {
		lua_pushnil(L);
		lua_rawseti(L, -2, i);
	}
	lua_pushcfunction(L, find_embedded);
	lua_rawseti(L, -2, stock ? 5 : 2);
	lua_pop(L, 2);
}

static int set_up(lua_State *L)
{
	struct call *c = lua_touserdata(L, 1);

	luaL_openlibs(L);
	luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
	luaL_setfuncs(L, modules, 0);
	set_searchers(L, c->file);
	luaL_requiref(L, "core.task", luaopen_core_task, 0); /* the loop: made first, freed last */
	return 0;
}

/* Push argv as a table whose [0] is argv[first]. */
static void push_args(lua_State *L, const struct call *c, int first)
{
	lua_createtable(L, c->argc, first + 1);
	for (int i = 0; i < c->argc; i++) {
		lua_pushstring(L, c->argv[i]);
		lua_rawseti(L, -2, i - first);
	}
}

static int trace(lua_State *L)
{
	luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
	return 1;
}

static int run_file(lua_State *L, const struct call *c)
{
	lua_settop(L, 0);
	push_args(L, c, 2);
	lua_setglobal(L, "arg");
	lua_pushcfunction(L, trace);
	if (luaL_loadfile(L, c->argv[2]) != LUA_OK)
		return LUA_ERRSYNTAX;
	luaL_checkstack(L, c->argc, "too many arguments");
	for (int i = 3; i < c->argc; i++)
		lua_pushstring(L, c->argv[i]);
	return lua_pcall(L, c->argc - 3, 0, 1);
}

static int give_top(lua_State *L, int status, lua_KContext ctx)
{
	(void)L, (void)status, (void)ctx;
	return 1;
}

/* require("cli").main(argv) -> exit status */
static int call_cli(lua_State *L)
{
	lua_getglobal(L, "require");
	lua_pushliteral(L, "cli");
	lua_call(L, 1, 1);
	lua_getfield(L, -1, "main");
	lua_pushvalue(L, 1);
	lua_callk(L, 1, 1, 0, give_top);
	return give_top(L, LUA_OK, 0);
}

/* Under lua_pcall as a whole: want of memory in the loop itself is an error then, not an abort. */
static int run(lua_State *L)
{
	struct call *c = lua_touserdata(L, 1);
	int status;

	if (c->file) {
		status = run_file(L, c);
	} else {
		lua_pushcfunction(L, call_cli);
		push_args(L, c, 0);
		status = loop_run(L, 1);
		c->exit = (int)lua_tointeger(L, -1);
	}
	return status == LUA_OK ? 0 : lua_error(L);
}

/* Descriptors 0 to 2 are open from here on: no file of ours is taken for one of them. */
static bool open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	return fd >= 0 && close(fd) == 0;
}

static int complain(const char *message, int status)
{
	fprintf(stderr, "etcd-bootstrap: error: %s\n", message ? message : "not a message");
	return status;
}

static int call(lua_State *L, lua_CFunction f, struct call *c)
{
	lua_pushcfunction(L, f);
	lua_pushlightuserdata(L, c);
	return lua_pcall(L, 1, 0, 0);
}

int main(int argc, char **argv)
{
	struct call c = { .argc = argc, .argv = argv };

	if (argc == 2 && (strcmp(argv[1], "version") == 0 || strcmp(argv[1], "--version") == 0))
		return puts("etcd-bootstrap " VERSION) < 0 || fflush(stdout) != 0;
	c.file = argc > 2 && strcmp(argv[1], "lua") == 0;
	lua_State *L = open_standard() ? luaL_newstate() : NULL;
	if (!L)
		return complain("no memory or no descriptor left", REFUSED);
	int code = REFUSED;
	int status = call(L, set_up, &c);
	if (status == LUA_OK) {
		status = call(L, run, &c);
		code = status == LUA_ERRMEM ? REFUSED : FAILED;
	}
	if (status != LUA_OK)
		c.exit = complain(lua_tostring(L, -1), code);
	lua_close(L);
	return c.exit;
}
