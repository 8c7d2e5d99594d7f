/* etcdbody.c - reads what etcd and the roll call answer, strictly: a body of another shape than
 * theirs is bad, never half believed.  Touches no network.
 */
#include "etcd.h"
#include "json.h"
#include "net.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names of a member's fields in the three forms of a list. */
static const struct form {
	const char *id;
	int base;     /* of ids that are text */
	bool wrapped; /* the list stands in a field of an object */
} forms[] = {
	[ETCD_PEER] = { "id", 10, false },
	[ETCD_GATEWAY] = { "ID", 10, true },
	[ETCD_V2] = { "id", 16, true },
};

static bool bad(char *why, size_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static bool bad(char *why, size_t n, const char *fmt, ...)
{
	va_list ap;
	int at = snprintf(why, n, "bad body: ");

	va_start(ap, fmt);
	vsnprintf(why + at, n - (size_t)at, fmt, ap);
	va_end(ap);
	return false;
}

/* Copy the first words of text, on one line and printable. */
static void excerpt(const char *text, size_t length, char *out, size_t n)
{
	size_t at = 0;
	bool blank = false;

	for (size_t i = 0; i < length && at + 5 < n; i++) {
		char c = text[i];
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
			blank = at > 0;
			continue;
		}
		if (blank)
			out[at++] = ' ';
		blank = false;
		out[at++] = (char)(c > ' ' && c < 0x7f ? c : '?');
		if (at > 76) {
			memcpy(out + at, "...", 3);
			at += 3;
			break;
		}
	}
	out[at] = '\0';
}

/* Push the body's value, which must be a table. */
static bool decode(lua_State *L, const char *body, size_t length, char *why, size_t n)
{
	char words[100];

	excerpt(body ? body : "", length, words, sizeof words);
	if (!*words)
		return bad(why, n, "it is empty");
	if (*words == '<')
		return bad(why, n, "a page of HTML instead of JSON: %s", words);
	if (!json_decode(L, body, length)) {
		bad(why, n, "%s: %s", lua_tostring(L, -1), words);
	} else if (!lua_istable(L, -1)) {
		bad(why, n, "not what etcd answers: %s", words);
	} else {
		return true;
	}
	lua_pop(L, 1);
	return false;
}

static bool absent(lua_State *L, int i)
{
	return lua_isnil(L, i) || lua_islightuserdata(L, i);
}

/* The id in field key of the table on top; "" when the field is absent. */
static bool get_id(lua_State *L, const char *key, int base, char id[ETCD_ID])
{
	bool ok = true;
	size_t n;

	*id = '\0';
	lua_getfield(L, -1, key);
	if (lua_isinteger(L, -1) && base == 10) {
		lua_Integer v = lua_tointeger(L, -1);
		ok = v > 0;
		snprintf(id, ETCD_ID, LUA_INTEGER_FMT, v);
	} else if (lua_type(L, -1) == LUA_TSTRING) {
		const char *text = lua_tolstring(L, -1, &n);
		ok = etcd_id(text, n, base, id);
	} else {
		ok = absent(L, -1);
	}
	lua_pop(L, 1);
	return ok;
}

/* The text in field key of the table on top, copied if it fits. */
static bool get_text(lua_State *L, const char *key, char *out, size_t n)
{
	size_t length = 0;

	lua_getfield(L, -1, key);
	bool ok = absent(L, -1) || lua_type(L, -1) == LUA_TSTRING;
	const char *text = ok ? lua_tolstring(L, -1, &length) : NULL;
	excerpt(text ? text : "", length, out, n);
	lua_pop(L, 1);
	return ok;
}

static bool get_flag(lua_State *L, const char *key, bool *value)
{
	lua_getfield(L, -1, key);
	bool ok = absent(L, -1) || lua_isboolean(L, -1);
	*value = lua_toboolean(L, -1) && lua_isboolean(L, -1);
	lua_pop(L, 1);
	return ok;
}

/* Pop a key and note it in the table `seen`; false when it was there. */
static bool note(lua_State *L, int seen)
{
	lua_pushvalue(L, -1);
	bool fresh = lua_rawget(L, seen) == LUA_TNIL;
	lua_pop(L, 1);
	lua_pushboolean(L, 1);
	lua_rawset(L, seen);
	return fresh;
}

/* Push the canonical URLs in field key of the member on top; peer URLs are unique in `seen`. */
static bool push_urls(lua_State *L, const char *key, int seen, bool required, char *why, size_t n)
{
	char url[512];

	lua_getfield(L, -1, key);
	int from = lua_gettop(L);
	if (!lua_istable(L, from) && !absent(L, from))
		return bad(why, n, "%s is no list", key);
	lua_Unsigned count = lua_istable(L, from) ? lua_rawlen(L, from) : 0;
	if (required && !count)
		return bad(why, n, "a member without %s", key);
	lua_createtable(L, (int)count, 0);
	for (lua_Unsigned i = 1; i <= count; i++) {
		size_t length;
		lua_rawgeti(L, from, (lua_Integer)i);
		const char *text =
		    lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
		if (!text || !net_canonical(text, length, url, sizeof url))
			return bad(why, n, "%s: not a URL: %.100s", key, text ? text : "(no text)");
		lua_pop(L, 1);
		lua_pushstring(L, url);
		lua_rawseti(L, -2, (lua_Integer)i);
		lua_pushstring(L, url);
		if (!required)
			lua_pop(L, 1);
		else if (!note(L, seen))
			return bad(why, n, "two members at %s", url);
	}
	lua_remove(L, from);
	return true;
}

/* Push a Member out of the entry on top. */
static bool push_member(lua_State *L, const struct form *form, int seen, char *why, size_t n)
{
	int entry = lua_gettop(L);
	char id[ETCD_ID], name[512];
	bool learner;

	if (!lua_istable(L, entry) || !get_id(L, form->id, form->base, id) || !*id)
		return bad(why, n, "a member without a valid %s", form->id);
	lua_pushstring(L, id);
	if (!note(L, seen))
		return bad(why, n, "two members with id %s", id);
	if (!get_text(L, "name", name, sizeof name) || !get_flag(L, "isLearner", &learner))
		return bad(why, n, "a member whose name or isLearner is of another type");
	lua_createtable(L, 0, 6);
	lua_pushstring(L, id);
	lua_setfield(L, -2, "id");
	if (lua_getfield(L, entry, "name") != LUA_TSTRING)
		lua_pushliteral(L, "");
	lua_setfield(L, entry + 1, "name");
	lua_settop(L, entry + 1);
	lua_pushboolean(L, learner);
	lua_setfield(L, -2, "learner");
	lua_insert(L, entry); /* the member below its entry */
	if (!push_urls(L, "peerURLs", seen, true, why, n))
		return false;
	lua_setfield(L, entry, "peer_urls");
	if (!push_urls(L, "clientURLs", seen, false, why, n))
		return false;
	lua_pushboolean(L, lua_rawlen(L, -1) > 0);
	lua_setfield(L, entry, "started");
	lua_setfield(L, entry, "client_urls");
	lua_settop(L, entry);
	return true;
}

static bool read_header(lua_State *L, struct etcd_status *who)
{
	lua_getfield(L, -1, "header");
	bool ok = lua_istable(L, -1) && get_id(L, "cluster_id", 10, who->cluster_id) &&
		  get_id(L, "member_id", 10, who->member_id);
	lua_pop(L, 1);
	return ok;
}

/* An etcd that was killed right after it made its log comes back knowing nobody (seen with 3.4). */
static bool says_null(const char *body, size_t length)
{
	while (length && body[length - 1] == '\n')
		length--;
	return length == 4 && memcmp(body, "null", 4) == 0;
}

bool etcd_read_members(lua_State *L, enum etcd_form form, const char *body, size_t length,
    struct etcd_status *who, char *why, size_t n)
{
	int top = lua_gettop(L);

	luaL_checkstack(L, 20, NULL);
	lua_newtable(L); /* the result */
	if (form == ETCD_PEER && says_null(body, length))
		return true;
	lua_newtable(L); /* ids and peer URLs seen */
	bool ok = decode(L, body, length, why, n);
	if (ok && form == ETCD_GATEWAY &&
	    !(read_header(L, who) && *who->cluster_id && *who->member_id))
		ok = bad(why, n, "its header names no cluster or no member");
	if (ok && forms[form].wrapped) {
		lua_getfield(L, -1, "members");
		lua_replace(L, top + 3);
	}
	if (ok && !(lua_istable(L, -1) && lua_rawlen(L, -1) > 0))
		ok = bad(why, n, "no list of members");
	for (lua_Integer i = 1; ok && i <= (lua_Integer)lua_rawlen(L, top + 3); i++) {
		lua_rawgeti(L, top + 3, i);
		if ((ok = push_member(L, &forms[form], top + 2, why, n)))
			lua_rawseti(L, top + 1, i);
	}
	lua_settop(L, ok ? top + 1 : top);
	return ok;
}

bool etcd_read_health(
    lua_State *L, const char *body, size_t length, bool *healthy, char *why, size_t n)
{
	int top = lua_gettop(L);
	bool ok = decode(L, body, length, why, n);

	if (ok) {
		int type = lua_getfield(L, -1, "health");
		const char *text = type == LUA_TSTRING ? lua_tostring(L, -1) : "";
		*healthy =
		    strcmp(text, "true") == 0 || (type == LUA_TBOOLEAN && lua_toboolean(L, -1));
		if (!*healthy && strcmp(text, "false") != 0 && type != LUA_TBOOLEAN)
			ok = bad(why, n, "it says nothing of health");
		lua_pop(L, 1);
		if (ok)
			get_text(L, "reason", why, n);
	}
	lua_settop(L, top);
	return ok;
}

bool etcd_read_status(
    lua_State *L, const char *body, size_t length, struct etcd_status *status, char *why, size_t n)
{
	int top = lua_gettop(L);
	bool ok = decode(L, body, length, why, n);
	char applied[ETCD_ID] = "";

	status->applied = -1;
	if (ok && !(read_header(L, status) && *status->cluster_id && *status->member_id &&
		      get_text(L, "version", status->version, sizeof status->version) &&
		      get_id(L, "leader", 10, status->leader) &&
		      get_flag(L, "isLearner", &status->learner) &&
		      get_id(L, "raftAppliedIndex", 10, applied)))
		ok = bad(why, n, "not etcd's status");
	if (ok && *applied && lua_stringtonumber(L, applied))
		status->applied = lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
	lua_settop(L, top);
	return ok;
}

bool etcd_read_version(lua_State *L, const char *body, size_t length, char server[32],
    char cluster[32], char *why, size_t n)
{
	int top = lua_gettop(L);
	bool ok = decode(L, body, length, why, n);

	if (ok && !(get_text(L, "etcdserver", server, 32) &&
		      get_text(L, "etcdcluster", cluster, 32) && *server && *cluster))
		ok = bad(why, n, "it says no version of etcd and of its cluster");
	lua_settop(L, top);
	return ok;
}

bool etcd_read_self(
    lua_State *L, const char *body, size_t length, char id[ETCD_ID], char *why, size_t n)
{
	int top = lua_gettop(L);
	bool ok = decode(L, body, length, why, n);

	if (ok && !(get_id(L, "id", 16, id) && *id))
		ok = bad(why, n, "it says no id of its own");
	lua_settop(L, top);
	return ok;
}

/* Move the hex id in field key of `from` to the answer on top; null stays away, absent is bad. */
static bool move_id(lua_State *L, int from, const char *key)
{
	char id[ETCD_ID];
	size_t n;

	int type = lua_getfield(L, from, key);
	if (type == LUA_TSTRING) {
		const char *text = lua_tolstring(L, -1, &n);
		if (n <= 16 && etcd_id(text, n, 16, id)) {
			lua_pushstring(L, id);
			lua_setfield(L, -3, key);
		} else {
			type = LUA_TNIL;
		}
	}
	lua_pop(L, 1);
	return type == LUA_TSTRING || type == LUA_TLIGHTUSERDATA;
}

static bool is_list_of_names(lua_State *L, int i)
{
	bool ok = lua_istable(L, i);
	lua_Integer n = 0;

	if (!ok)
		return false;
	for (lua_pushnil(L); lua_next(L, i); lua_pop(L, 1), n++)
		ok = ok && lua_isinteger(L, -2) && lua_type(L, -1) == LUA_TSTRING;
	return ok && n == (lua_Integer)lua_rawlen(L, i);
}

bool etcd_read_answer(lua_State *L, const char *body, size_t length, char *why, size_t n)
{
	int top = lua_gettop(L), from = top + 1, answer = top + 2;

	luaL_checkstack(L, 20, NULL);
	if (!decode(L, body, length, why, n))
		return false;
	lua_createtable(L, 0, 6);
	bool ok = lua_getfield(L, from, "name") == LUA_TSTRING && lua_rawlen(L, -1) > 0;
	lua_setfield(L, answer, "name");
	ok = lua_getfield(L, from, "data") == LUA_TSTRING && ok &&
	     strcmp(lua_tostring(L, -1), "empty") == 0;
	lua_setfield(L, answer, "data");
	ok = lua_getfield(L, from, "ready") == LUA_TBOOLEAN && ok;
	lua_setfield(L, answer, "ready");
	lua_getfield(L, from, "counts");
	ok = is_list_of_names(L, lua_gettop(L)) && ok;
	lua_setfield(L, answer, "counts");
	ok = move_id(L, from, "cluster_id") && move_id(L, from, "claim") && ok;
	if (!ok)
		bad(why, n, "not an answer of the roll call");
	lua_remove(L, from);
	lua_settop(L, ok ? top + 1 : top);
	return ok;
}

void etcd_read_error(lua_State *L, const char *body, size_t length, char *message, size_t n)
{
	int top = lua_gettop(L);

	*message = '\0';
	if (body && json_decode(L, body, length) && lua_istable(L, -1)) {
		get_text(L, "message", message, n);
		if (!*message)
			get_text(L, "error", message, n);
	}
	if (!*message)
		excerpt(body ? body : "", length, message, n);
	lua_settop(L, top);
}
