/* etcdids.c - ids of members and clusters: decimal text in Lua, hex where etcd prints them, and
 * the hash with which etcd makes them out of a founding list and a token.
 */
#include "etcd.h"
#include "loop.h"

#include <inttypes.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

static bool parse(const char *text, size_t n, unsigned base, uint64_t *value)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned d = (unsigned)digit(text[i]);
		if (d >= base || v > (UINT64_MAX - d) / base)
			return false;
		v = v * base + d;
	}
	*value = v;
	return v != 0;
}

bool etcd_id(const char *text, size_t n, int base, char id[ETCD_ID])
{
	uint64_t v;

	if (!parse(text, n, (unsigned)base, &v))
		return false;
	snprintf(id, ETCD_ID, "%" PRIu64, v);
	return true;
}

/* The first eight bytes of a digest, as etcd reads them. */
static uint64_t head(const unsigned char digest[SHA_DIGEST_LENGTH])
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | digest[i];
	return v;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The id of the founder on top of the stack. */
static uint64_t member_id(lua_State *L, const char *token)
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	luaL_Buffer b;

	lua_getfield(L, -1, "peer_urls");
	luaL_checktype(L, -1, LUA_TTABLE);
	int urls = lua_gettop(L);
	lua_Integer n = luaL_len(L, urls);
	luaL_checkstack(L, (int)n + LUA_MINSTACK, "too many peer URLs");
	const char **sorted = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *sorted, 0);
	for (lua_Integer i = 0; i < n; i++) {
		lua_geti(L, urls, i + 1);
		sorted[i] = luaL_checkstring(L, -1);
	}
	qsort(sorted, (size_t)n, sizeof *sorted, by_text);
	luaL_buffinit(L, &b);
	for (lua_Integer i = 0; i < n; i++)
		luaL_addstring(&b, sorted[i]);
	luaL_addstring(&b, token);
	luaL_pushresult(&b);
	size_t length;
	const char *text = lua_tolstring(L, -1, &length);
	SHA1((const unsigned char *)text, length, digest);
	lua_settop(L, urls - 1);
	return head(digest);
}

static void push_id(lua_State *L, uint64_t id)
{
	char text[ETCD_ID];

	snprintf(text, sizeof text, "%" PRIu64, id);
	lua_pushstring(L, text);
}

/* The id of the cluster that these members found; sorts them. */
static void push_cluster(lua_State *L, uint64_t *ids, size_t n)
{
	unsigned char digest[SHA_DIGEST_LENGTH];

	qsort(ids, n, sizeof *ids, by_value);
	unsigned char *bytes = lua_newuserdatauv(L, 8 * n + 1, 0);
	for (size_t i = 0; i < 8 * n; i++)
		bytes[i] = (unsigned char)(ids[i / 8] >> (56 - 8 * (i % 8)));
	SHA1(bytes, 8 * n, digest);
	push_id(L, head(digest));
	lua_remove(L, -2);
}

/* etcd.founded(member_ids) -> cluster_id */
int etcd_founded(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_Integer n = luaL_len(L, 1);
	uint64_t *ids = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *ids, 0);

	for (lua_Integer i = 0; i < n; i++) {
		size_t length;
		lua_geti(L, 1, i + 1);
		const char *text = lua_tolstring(L, -1, &length);
		luaL_argcheck(L, text && parse(text, length, 10, &ids[i]), 1, "not decimal ids");
		lua_pop(L, 1);
	}
	push_cluster(L, ids, (size_t)n);
	return 1;
}

/* etcd.identify(list, token) -> cluster_id, member_ids */
int etcd_identify(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	const char *token = luaL_checkstring(L, 2);
	lua_Integer n = luaL_len(L, 1);
	uint64_t *ids = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *ids, 0);
	lua_createtable(L, (int)n, 0);
	for (lua_Integer i = 0; i < n; i++) {
		lua_geti(L, 1, i + 1);
		luaL_checktype(L, -1, LUA_TTABLE);
		ids[i] = member_id(L, token);
		lua_pop(L, 1);
		push_id(L, ids[i]);
		lua_seti(L, -2, i + 1);
	}
	push_cluster(L, ids, (size_t)n);
	lua_pushvalue(L, -2);
	return 2;
}

/* etcd.hex(id) -> hex */
int etcd_hex(lua_State *L)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);
	char hex[17];
	uint64_t v;

	luaL_argcheck(L, parse(text, n, 10, &v), 1, "not a decimal id");
	snprintf(hex, sizeof hex, "%" PRIx64, v);
	lua_pushstring(L, hex);
	return 1;
}

/* etcd.decimal(hex) -> id | nil, message, code */
int etcd_decimal(lua_State *L)
{
	size_t n;
	const char *text = luaL_checklstring(L, 1, &n);
	char id[ETCD_ID];

	if (n > 16 || !etcd_id(text, n, 16, id))
		return fail(L, "parse", "\"%.40s\" is not an id in hex", text);
	lua_pushstring(L, id);
	return 1;
}
