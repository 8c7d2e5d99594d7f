/* etcd.c - fuzzes what etcd and the roll call answer: each body goes through every reader.  Lists
 * of members hold valid ids and canonical URLs, each id and each peer URL once.
 */
#include "etcd.h"

#include "fuzz.h"
#include "loop.h"
#include "net.h"

#include <string.h>

#define WHY 300

static lua_State *L;

/* A decimal id as it is written everywhere: no sign, no zero in front, 64 bits. */
static bool is_id(const char *text)
{
	static const char most[] = "18446744073709551615";
	size_t n = text ? strlen(text) : 0;

	return n > 0 && *text != '0' && strspn(text, "0123456789") == n &&
	       (n < strlen(most) || (n == strlen(most) && strcmp(text, most) <= 0));
}

static bool is_id_or_none(const char *text)
{
	return !*text || is_id(text);
}

/* Note the string on top as a key of the table `seen`, and pop it. */
static void note_new(int seen)
{
	lua_pushvalue(L, -1);
	MUST(lua_rawget(L, seen) == LUA_TNIL);
	lua_pop(L, 1);
	lua_pushboolean(L, 1);
	lua_rawset(L, seen);
}

static lua_Integer check_urls(int member, const char *key, int seen)
{
	char form[600];

	MUST(lua_getfield(L, member, key) == LUA_TTABLE);
	lua_Integer count = luaL_len(L, -1);
	for (lua_Integer i = 1; i <= count; i++) {
		MUST(lua_geti(L, -1, i) == LUA_TSTRING);
		const char *url = lua_tostring(L, -1);
		MUST(net_canonical(url, strlen(url), form, sizeof form) && strcmp(form, url) == 0);
		if (seen)
			note_new(seen);
		else
			lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return count;
}

/* Only on the peer port does an etcd that has just begun say that it lists nobody. */
static void check_members(int list, enum etcd_form form)
{
	lua_newtable(L);
	int seen = lua_gettop(L), member = seen + 1;
	MUST(luaL_len(L, list) > 0 || form == ETCD_PEER);
	for (lua_Integer i = 1; i <= luaL_len(L, list); i++) {
		MUST(lua_geti(L, list, i) == LUA_TTABLE);
		MUST(lua_getfield(L, member, "id") == LUA_TSTRING && is_id(lua_tostring(L, -1)));
		note_new(seen);
		MUST(lua_getfield(L, member, "name") == LUA_TSTRING);
		MUST(lua_getfield(L, member, "learner") == LUA_TBOOLEAN);
		MUST(lua_getfield(L, member, "started") == LUA_TBOOLEAN);
		bool started = lua_toboolean(L, -1);
		MUST(check_urls(member, "peer_urls", seen) > 0);
		MUST(started == (check_urls(member, "client_urls", 0) > 0));
		lua_settop(L, seen);
	}
}

static void fuzz_members(const char *body, size_t n)
{
	char why[WHY];

	for (int form = ETCD_PEER; form <= ETCD_V2; form++) {
		struct etcd_status who = { 0 };

		lua_settop(L, 0);
		if (etcd_read_members(L, (enum etcd_form)form, body, n, &who, why, sizeof why)) {
			MUST(lua_gettop(L) == 1);
			check_members(1, (enum etcd_form)form);
			MUST(form != ETCD_GATEWAY ||
			     (is_id(who.cluster_id) && is_id(who.member_id)));
		} else {
			MUST(lua_gettop(L) == 0 && strlen(why) > 0);
		}
	}
}

static void fuzz_words(const char *body, size_t n)
{
	char why[WHY] = "", server[32] = "", cluster[32] = "", id[ETCD_ID] = "";
	struct etcd_status status = { 0 };
	bool healthy;

	if (!etcd_read_health(L, body, n, &healthy, why, sizeof why))
		MUST(*why);
	if (etcd_read_version(L, body, n, server, cluster, why, sizeof why))
		MUST(*server && *cluster);
	if (etcd_read_self(L, body, n, id, why, sizeof why))
		MUST(is_id(id));
	if (etcd_read_status(L, body, n, &status, why, sizeof why)) {
		MUST(is_id(status.cluster_id) && is_id(status.member_id));
		MUST(is_id_or_none(status.leader) && status.applied >= -1);
		MUST(strlen(status.version) < sizeof status.version);
	}
	etcd_read_error(L, body, n, why, 8);
	MUST(strlen(why) < 8);
	etcd_read_error(L, body, n, why, sizeof why);
	for (const char *c = why; *c; c++)
		MUST(*c >= ' ' && *c <= '~');
	MUST(lua_gettop(L) == 0);
}

static void check_id_field(const char *key)
{
	int type = lua_getfield(L, 1, key);

	MUST(type == LUA_TNIL || (type == LUA_TSTRING && is_id(lua_tostring(L, -1))));
	lua_pop(L, 1);
}

static void fuzz_answer(const char *body, size_t n)
{
	char why[WHY] = "";

	if (!etcd_read_answer(L, body, n, why, sizeof why)) {
		MUST(lua_gettop(L) == 0 && *why);
		return;
	}
	MUST(lua_gettop(L) == 1);
	MUST(lua_getfield(L, 1, "name") == LUA_TSTRING && lua_rawlen(L, -1) > 0);
	MUST(lua_getfield(L, 1, "data") == LUA_TSTRING && !strcmp(lua_tostring(L, -1), "empty"));
	MUST(lua_getfield(L, 1, "ready") == LUA_TBOOLEAN);
	check_id_field("cluster_id");
	check_id_field("claim");
	MUST(lua_getfield(L, 1, "counts") == LUA_TTABLE);
	int keys = 0;
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1), keys++)
		MUST(lua_isinteger(L, -2) && lua_type(L, -1) == LUA_TSTRING);
	MUST(keys == (int)lua_rawlen(L, -1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *body = n ? (const char *)data : NULL;

	L = fuzz_state();
	fuzz_members(body, n);
	lua_settop(L, 0);
	fuzz_words(body, n);
	fuzz_answer(body, n);
	return 0;
}
