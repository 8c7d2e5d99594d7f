/* gateview.c - reads the facts into the gate's view.
 *
 * The facts were put together by our own Lua, so a wrong type is a bug of ours and raises.  What
 * came from outside arrives in the right types and may still be odd: a missing id is 0, a word
 * never heard of is unknown, and a name with a zero byte is kept apart from every plain name.
 */
#include "gate.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	lua_State *L;
	int anchor;
};

static void *keep(struct reader *r, size_t n, size_t size)
{
	void *p = lua_newuserdatauv(r->L, n ? n * size : 1, 0);

	memset(p, 0, n ? n * size : 1);
	lua_rawseti(r->L, r->anchor, (lua_Integer)lua_rawlen(r->L, r->anchor) + 1);
	return p;
}

/* C compares up to a zero byte, so such a text must not look like its own beginning. */
static const char *plain(struct reader *r, const char *s, size_t n)
{
	luaL_Buffer b;

	if (strlen(s) == n)
		return s;
	luaL_buffinit(r->L, &b);
	for (size_t i = 0; i < n; i++)
		luaL_addstring(&b, s[i] ? (char[]){ s[i], '\0' } : "\\0\x7f");
	luaL_pushresult(&b);
	s = lua_tostring(r->L, -1);
	lua_rawseti(r->L, r->anchor, (lua_Integer)lua_rawlen(r->L, r->anchor) + 1);
	return s;
}

static const char *text_at(struct reader *r, const char *what)
{
	size_t n;

	if (lua_type(r->L, -1) != LUA_TSTRING)
		luaL_error(
		    r->L, "facts: %s: string expected, got %s", what, luaL_typename(r->L, -1));
	const char *s = lua_tolstring(r->L, -1, &n);
	return plain(r, s, n);
}

/* The readers below take a field of the table on top of the stack and leave the stack as it was. */

static const char *text(struct reader *r, const char *key)
{
	const char *s = lua_getfield(r->L, -1, key) == LUA_TNIL ? NULL : text_at(r, key);

	lua_pop(r->L, 1);
	return s;
}

static const char *word(struct reader *r, const char *key)
{
	const char *s = text(r, key);

	return s ? s : "";
}

static bool flag(struct reader *r, const char *key)
{
	int type = lua_getfield(r->L, -1, key);
	bool b = lua_toboolean(r->L, -1);

	if (type != LUA_TNIL && type != LUA_TBOOLEAN)
		luaL_error(
		    r->L, "facts: %s: boolean expected, got %s", key, lua_typename(r->L, type));
	lua_pop(r->L, 1);
	return b;
}

static bool number(struct reader *r, const char *key, double *x)
{
	int type = lua_getfield(r->L, -1, key);

	if (type != LUA_TNIL && type != LUA_TNUMBER)
		luaL_error(
		    r->L, "facts: %s: number expected, got %s", key, lua_typename(r->L, type));
	if (type == LUA_TNUMBER)
		*x = lua_tonumber(r->L, -1);
	lua_pop(r->L, 1);
	return type == LUA_TNUMBER;
}

static lua_Integer integer(struct reader *r, const char *key, lua_Integer otherwise)
{
	double x;

	return number(r, key, &x) && x >= 0 && x < 9e15 ? (lua_Integer)x : otherwise;
}

static uint64_t id_of(struct reader *r, const char *s, const char *what)
{
	uint64_t n = 0;

	if (s && !view_id(s, &n))
		luaL_error(r->L, "facts: %s: a decimal id expected, got '%s'", what, s);
	return n;
}

static uint64_t id(struct reader *r, const char *key)
{
	return id_of(r, text(r, key), key);
}

/* Push the table of a field and return true, or push nothing. */
static bool enter(struct reader *r, const char *key)
{
	int type = lua_getfield(r->L, -1, key);

	luaL_checkstack(r->L, 20, "facts");
	if (type == LUA_TTABLE)
		return true;
	if (type != LUA_TNIL)
		luaL_error(
		    r->L, "facts: %s: table expected, got %s", key, lua_typename(r->L, type));
	lua_pop(r->L, 1);
	return false;
}

static void need(struct reader *r, const char *key)
{
	if (!enter(r, key))
		luaL_error(r->L, "facts: %s: table expected, got nil", key);
}

/* Push element i of the list on top. */
static void element(struct reader *r, size_t i, const char *what)
{
	if (lua_geti(r->L, -1, (lua_Integer)i + 1) != LUA_TTABLE)
		luaL_error(
		    r->L, "facts: %s: tables expected, got %s", what, luaL_typename(r->L, -1));
}

static struct texts texts(struct reader *r, const char *key)
{
	struct texts t = { 0 };

	if (!enter(r, key))
		return t;
	t.n = (size_t)luaL_len(r->L, -1);
	t.at = keep(r, t.n, sizeof *t.at);
	for (size_t i = 0; i < t.n; i++) {
		lua_geti(r->L, -1, (lua_Integer)i + 1);
		t.at[i] = text_at(r, key);
		lua_pop(r->L, 1);
	}
	lua_pop(r->L, 1);
	return t;
}

static size_t pairs_in(struct reader *r)
{
	size_t n = 0;

	for (lua_pushnil(r->L); lua_next(r->L, -2); lua_pop(r->L, 1))
		n++;
	return n;
}

/* The key of a pair on top of the stack (lua_tolstring would turn a number into a string there). */
static const char *key_of(struct reader *r, const char *what)
{
	lua_pushvalue(r->L, -2);
	const char *s = text_at(r, what);
	lua_pop(r->L, 1);
	return s;
}

static struct texts values(struct reader *r, const char *key)
{
	struct texts t = { 0 };

	if (!enter(r, key))
		return t;
	t.at = keep(r, pairs_in(r), sizeof *t.at);
	for (lua_pushnil(r->L); lua_next(r->L, -2); lua_pop(r->L, 1))
		t.at[t.n++] = text_at(r, key);
	lua_pop(r->L, 1);
	return t;
}

static struct members members(struct reader *r, const char *key)
{
	struct members list = { 0 };

	if (!enter(r, key))
		return list;
	list.n = (size_t)luaL_len(r->L, -1);
	list.at = keep(r, list.n, sizeof *list.at);
	for (size_t i = 0; i < list.n; i++) {
		element(r, i, key);
		list.at[i] = (struct member){ .id = id(r, "id"),
			.name = word(r, "name"),
			.urls = texts(r, "peer_urls"),
			.learner = flag(r, "learner"),
			.started = flag(r, "started") };
		lua_pop(r->L, 1);
	}
	lua_pop(r->L, 1);
	return list;
}

static struct founders founders(struct reader *r, const char *key)
{
	struct founders list = { 0 };

	if (!enter(r, key))
		return list;
	list.n = (size_t)luaL_len(r->L, -1);
	list.at = keep(r, list.n, sizeof *list.at);
	for (size_t i = 0; i < list.n; i++) {
		element(r, i, key);
		list.at[i] =
		    (struct founder){ .name = word(r, "name"), .urls = texts(r, "peer_urls") };
		lua_pop(r->L, 1);
	}
	lua_pop(r->L, 1);
	return list;
}

static struct answer *answer(struct reader *r, const char *key)
{
	if (!enter(r, key))
		return NULL;
	struct answer *a = keep(r, 1, sizeof *a);
	*a = (struct answer){ .name = word(r, "name"),
		.empty = !strcmp(word(r, "data"), "empty"),
		.ready = flag(r, "ready"),
		.cluster = id(r, "cluster_id"),
		.claim = id(r, "claim"),
		.counts = texts(r, "counts") };
	lua_pop(r->L, 1);
	return a;
}

static size_t index_of(const char *s, const char *const *words)
{
	for (size_t i = 1; words[i]; i++)
		if (!strcmp(s, words[i]))
			return i;
	return 0;
}

static void read_me(struct reader *r, struct view *v)
{
	need(r, "me");
	v->me.id = text(r, "id");
	v->me.name = text(r, "name");
	v->me.version = text(r, "etcd_version");
	v->me.urls = texts(r, "peer_urls");
	if ((v->me.running = enter(r, "running"))) {
		v->me.cluster = id(r, "cluster_id");
		v->me.member = id(r, "member_id");
		lua_pop(r->L, 1);
	}
	lua_pop(r->L, 1);
}

static void read_instances(struct reader *r, struct inventory *v)
{
	static const char *const states[] = { "unknown", "booting", "live", "leaving", "dead",
		NULL };

	need(r, "instances");
	v->n = (size_t)luaL_len(r->L, -1);
	v->at = keep(r, v->n, sizeof *v->at);
	for (size_t i = 0; i < v->n; i++) {
		element(r, i, "instances");
		v->at[i] = (struct instance){ .id = word(r, "id"),
			.name = text(r, "etcd_name"),
			.url = text(r, "peer_url"),
			.addresses = values(r, "addresses"),
			.state = (enum state)index_of(word(r, "state"), states) };
		lua_pop(r->L, 1);
	}
	lua_pop(r->L, 1);
}

static void read_inventory(struct reader *r, struct view *v)
{
	const char *why = text(r, "inventory_why");

	v->inventory.why = why ? why : "it was not read";
	if (!enter(r, "inventory"))
		return;
	/* A time that is missing must not make a list fresh or settled. */
	v->inventory.lag = 15;
	v->inventory.read = -1e9;
	v->inventory.same_since = 1e18;
	v->inventory.given = true;
	v->inventory.complete = flag(r, "complete");
	v->inventory.exhaustive = !strcmp(word(r, "gone"), "dead");
	v->inventory.forgotten = texts(r, "forgotten");
	v->inventory.self = text(r, "self");
	number(r, "lag", &v->inventory.lag);
	number(r, "read", &v->inventory.read);
	number(r, "same_since", &v->inventory.same_since);
	read_instances(r, &v->inventory);
	lua_pop(r->L, 1);
}

static void read_probes(struct reader *r, struct view *v)
{
	static const char *const verdicts[] = { "unknown", "refused", "waiting", "founding",
		"no-quorum", "learner", "quorum", NULL };

	need(r, "probes");
	v->probes = keep(r, pairs_in(r), sizeof *v->probes);
	for (lua_pushnil(r->L); lua_next(r->L, -2); lua_pop(r->L, 1)) {
		const char *key = key_of(r, "probes");
		luaL_argcheck(r->L, lua_istable(r->L, -1), 1, "facts: probes: tables expected");
		v->probes[v->nprobes++] = (struct probe){ .key = key,
			.url = word(r, "peer_url"),
			.version = text(r, "version"),
			.cluster_version = text(r, "cluster_version"),
			.verdict = (enum verdict)index_of(word(r, "verdict"), verdicts),
			.cluster = id(r, "cluster_id"),
			.member = id(r, "member_id"),
			.applied = integer(r, "applied", -1),
			.list = members(r, "members"),
			.answer = answer(r, "answer") };
	}
	lua_pop(r->L, 1);
}

static void read_data(struct reader *r, struct view *v)
{
	static const char *const states[] = { "unknown", "empty", "member", "damaged", "hidden",
		NULL };

	need(r, "data_dir");
	v->data.state = (enum data)index_of(word(r, "state"), states);
	v->data.why = word(r, "why");
	v->data.cluster = id(r, "cluster_id");
	v->data.member = id(r, "member_id");
	v->data.unused = flag(r, "unused");
	v->data.locked = flag(r, "locked");
	v->data.founders = founders(r, "founders");
	if (enter(r, "claim")) {
		v->data.claim = (struct claim){ .given = true,
			.cluster = id(r, "cluster_id"),
			.founding = !strcmp(word(r, "kind"), "founding"),
			.member = id(r, "member_id"),
			.list = founders(r, "list") };
		lua_pop(r->L, 1);
	}
	lua_pop(r->L, 1);
}

static void read_roll_call(struct reader *r, struct view *v)
{
	need(r, "roll_call");
	v->roll_call.cluster = id(r, "cluster_id");
	v->roll_call.withdrawn = number(r, "withdrawn", &v->roll_call.withdrawn_at);
	if (enter(r, "heard")) {
		v->roll_call.at = keep(r, pairs_in(r), sizeof *v->roll_call.at);
		for (lua_pushnil(r->L); lua_next(r->L, -2); lua_pop(r->L, 1)) {
			const char *key = key_of(r, "heard");
			struct heard *h = &v->roll_call.at[v->roll_call.n++];
			luaL_argcheck(
			    r->L, lua_istable(r->L, -1), 1, "facts: heard: tables expected");
			*h = (struct heard){ .name = key,
				.empty = answer(r, "empty"),
				.last = answer(r, "last"),
				.proof = answer(r, "proof"),
				.proof_sent = -1e9 };
			number(r, "proof_sent", &h->proof_sent);
		}
		lua_pop(r->L, 1);
	}
	lua_pop(r->L, 1);
}

static void read_journal(struct reader *r, struct view *v)
{
	need(r, "journal");
	if (enter(r, "asked_remove")) {
		v->nasked = (size_t)luaL_len(r->L, -1);
		v->asked_remove = keep(r, v->nasked, sizeof *v->asked_remove);
		for (size_t i = 0; i < v->nasked; i++) {
			element(r, i, "asked_remove");
			v->asked_remove[i] =
			    (struct removal){ id(r, "cluster_id"), id(r, "member_id") };
			lua_pop(r->L, 1);
		}
		lua_pop(r->L, 1);
	}
	struct texts own = texts(r, "clusters");
	v->nown = own.n;
	v->own_clusters = keep(r, own.n, sizeof *v->own_clusters);
	for (size_t i = 0; i < own.n; i++)
		v->own_clusters[i] = id_of(r, own.at[i], "clusters");
	if (enter(r, "pending_since")) {
		v->pending = keep(r, pairs_in(r), sizeof *v->pending);
		for (lua_pushnil(r->L); lua_next(r->L, -2); lua_pop(r->L, 1))
			v->pending[v->npending++] =
			    (struct since){ id_of(r, key_of(r, "pending_since"), "pending_since"),
				    luaL_checknumber(r->L, -1) };
		lua_pop(r->L, 1);
	}
	lua_pop(r->L, 1);
}

static void read_history(struct reader *r, struct view *v)
{
	if (!enter(r, "history"))
		return;
	size_t n = (size_t)luaL_len(r->L, -1);
	v->added = keep(r, n, sizeof *v->added);
	for (size_t i = 0; i < n; i++) {
		element(r, i, "history");
		if (!strcmp(word(r, "action"), "add") && flag(r, "ok"))
			v->added[v->nadded++] = id(r, "member");
		lua_pop(r->L, 1);
	}
	lua_pop(r->L, 1);
}

bool view_id(const char *s, uint64_t *id)
{
	char *end;

	if (*s < '0' || *s > '9' || strlen(s) > 20)
		return false;
	*id = strtoull(s, &end, 10);
	return !*end && (strlen(s) < 20 || strcmp(s, "18446744073709551615") <= 0);
}

void view_read(lua_State *L, struct view *v, int anchor)
{
	struct reader r = { L, anchor };

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_pushvalue(L, 1);
	if (!number(&r, "now", &v->now) || !number(&r, "clock", &v->clock))
		luaL_error(L, "facts: now and clock must be numbers");
	read_me(&r, v);
	read_inventory(&r, v);
	read_probes(&r, v);
	read_data(&r, v);
	if ((v->founding.given = enter(&r, "founding"))) {
		v->founding.cluster = id(&r, "cluster_id");
		v->founding.member = id(&r, "member_id");
		v->founding.list = founders(&r, "list");
		lua_pop(L, 1);
	}
	if ((v->marker.given = enter(&r, "marker"))) {
		v->marker.cluster = id(&r, "cluster_id");
		v->marker.confirmed = flag(&r, "confirmed");
		v->marker.list = founders(&r, "list");
		lua_pop(L, 1);
	}
	v->marker.configured = flag(&r, "marker_configured");
	v->marker.unknown = text(&r, "marker_unknown");
	read_roll_call(&r, v);
	read_journal(&r, v);
	read_history(&r, v);
	v->found_refused = !strcmp(word(&r, "found"), "refused");
	v->refused = number(&r, "refused_since", &v->refused_since);
	v->desired = integer(&r, "desired", -1);
	v->has_desired = v->desired >= 0;
	v->changed = flag(&r, "changed");
	v->paused = flag(&r, "paused");
	lua_pop(L, 1);
	seen_clusters(v);
}
