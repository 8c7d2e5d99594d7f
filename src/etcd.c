/* etcd.c - core.etcd: asks any number of addresses at once, as one operation, and says what each
 * of them is.  Its verdicts are evidence for the gate, so each one is given only when seen:
 * health first and the list after it, from the same node; "refused" by the system's own error
 * number; everything else is "unknown", with its reason.
 *
 * Every target has two lines, to its peer port and to its client port; a line asks one question
 * after the other on one transfer.  libcurl's callbacks only queue a line that was answered; the
 * coroutine that waits reads the answers, asks on, and sleeps again until all targets are settled.
 */
#include "etcdprobe.h"
#include "net.h"

#include <stdlib.h>
#include <string.h>

#define PROBING "core.etcd.probing"
#define LEARN_MAX 100

static struct line *take(struct probing *p)
{
	struct line *l = p->answered;

	if (!l)
		return NULL;
	if (!(p->answered = l->next))
		p->last = &p->answered;
	l->queued = false;
	return l;
}

static struct target *new_target(struct probing *p)
{
	struct target *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->op = p;
	t->peer.target = t->client.target = t;
	*p->tail = t;
	p->tail = &t->next;
	if (!p->waiting)
		p->waiting = t;
	p->open++;
	return t;
}

/* Push o[key] as a canonical URL, which goes to url as well; nil and nothing when absent. */
static void push_url(lua_State *L, int o, const char *key, char url[ETCD_URL])
{
	size_t n;

	if (lua_getfield(L, o, key) == LUA_TNIL)
		return;
	const char *text = luaL_checklstring(L, -1, &n);
	if (!net_canonical(text, n, url, ETCD_URL))
		luaL_error(L, "%s is not the URL of a host and a port: %s", key, text);
	lua_pop(L, 1);
	lua_pushstring(L, url);
}

/* Note the target on top of the stack, {key=, name=, peer_url=, client_url=}; pops it. */
static void add_target(lua_State *L, struct probing *p, bool learnt)
{
	int o = lua_gettop(L);
	struct target *t = new_target(p);

	if (!t) {
		luaL_error(L, "out of memory");
		return;
	}
	luaL_checktype(L, o, LUA_TTABLE);
	lua_createtable(L, 0, 16);
	t->index = (lua_Integer)lua_rawlen(L, RESULTS) + 1;
	if (lua_getfield(L, o, "key") != LUA_TSTRING)
		luaL_error(L, "a target needs a key");
	lua_setfield(L, -2, "key");
	if (lua_getfield(L, o, "name") != LUA_TNIL)
		luaL_checkstring(L, -1);
	lua_setfield(L, -2, "name");
	push_url(L, o, "client_url", t->client_url);
	lua_setfield(L, -2, "client_url");
	push_url(L, o, "peer_url", t->peer_url);
	if (!*t->peer_url)
		luaL_error(L, "a target needs a peer_url");
	lua_pushvalue(L, -1);
	lua_pushboolean(L, 1);
	lua_rawset(L, ASKED);
	lua_setfield(L, -2, "peer_url");
	if (learnt) {
		lua_pushboolean(L, 1);
		lua_setfield(L, -2, "learnt");
	}
	lua_rawseti(L, RESULTS, t->index);
	t->peer.base = t->peer_url;
	t->client.base = t->client_url;
	lua_settop(L, o - 1);
}

void etcd_learn(lua_State *L, struct probing *p)
{
	int list = lua_gettop(L);

	for (lua_Integer i = 1; p->learn && lua_rawgeti(L, list, i) == LUA_TTABLE; i++) {
		int member = list + 1;
		lua_getfield(L, member, "peer_urls");
		for (lua_Integer u = 1; lua_rawgeti(L, -1, u) == LUA_TSTRING; u++) {
			lua_pushvalue(L, -1);
			bool asked = lua_rawget(L, ASKED) != LUA_TNIL;
			lua_pop(L, 1);
			if (!asked && p->learnt < LEARN_MAX) {
				p->learnt++;
				lua_createtable(L, 0, 4);
				lua_pushvalue(L, -2);
				lua_setfield(L, -2, "key");
				lua_pushvalue(L, -2);
				lua_setfield(L, -2, "peer_url");
				if (lua_getfield(L, member, "name") == LUA_TSTRING &&
				    lua_rawlen(L, -1) > 0)
					lua_setfield(L, -2, "name");
				else
					lua_pop(L, 1);
				lua_getfield(L, member, "client_urls");
				lua_rawgeti(L, -1, 1);
				lua_setfield(L, -3, "client_url");
				lua_pop(L, 1);
				add_target(L, p, true);
			}
			lua_pop(L, 1);
		}
		lua_settop(L, list);
	}
	lua_settop(L, list);
}

bool etcd_push_member(lua_State *L, const struct target *t, int lists, const char *id)
{
	int top = lua_gettop(L);

	if (lua_rawgeti(L, lists, t->index) != LUA_TTABLE) {
		lua_settop(L, top);
		return false;
	}
	for (lua_Integer i = 1; lua_rawgeti(L, top + 1, i) == LUA_TTABLE; i++) {
		lua_getfield(L, top + 2, id ? "id" : "peer_urls");
		bool found = id && strcmp(lua_tostring(L, -1), id) == 0;
		for (lua_Integer u = 1; !id && !found && lua_rawgeti(L, top + 3, u) == LUA_TSTRING;
		     u++) {
			found = strcmp(lua_tostring(L, -1), t->peer_url) == 0;
			lua_pop(L, 1);
		}
		lua_settop(L, top + 2);
		if (found) {
			lua_replace(L, top + 1);
			return true;
		}
		lua_settop(L, top + 1);
	}
	lua_settop(L, top);
	return false;
}

static void settle(lua_State *L, struct target *t)
{
	struct probing *p = t->op;

	lua_rawgeti(L, RESULTS, t->index);
	etcd_report(L, t);
	if (p->kind != LISTS) {
		lua_pushnumber(L, t->sent);
		lua_setfield(L, -2, "sent");
		lua_pushnumber(L, t->at);
		lua_setfield(L, -2, "at");
	}
	lua_pop(L, 1);
	etcd_hang_up(&t->peer, t->peer.outcome);
	etcd_hang_up(&t->client, t->client.outcome);
	t->settled = true;
	p->open--;
	p->flying--;
}

/* A founding etcd leaves its client port silent: nothing more to wait for. */
static bool enough(const struct target *t)
{
	return (t->peer.outcome != ASKING && t->client.outcome != ASKING) ||
	       (t->undecided && !t->healthy);
}

/* Begin targets as long as there are descriptors for both lines; one may always fly.  Those of one
 * wave count their time from its start. */
static void launch(lua_State *L, struct probing *p)
{
	double wave = loop_now();

	for (struct target *t; (t = p->waiting) && (!p->flying || http_room() >= 2);) {
		p->waiting = t->next;
		p->flying++;
		t->begun = true;
		t->sent = t->at = wave;
		etcd_send(&t->peer, p->kind == ASK ? BOOTSTRAP : MEMBERS);
		if (p->kind != ASK && *t->client_url)
			etcd_send(&t->client, HEALTH);
		else
			t->client.outcome = FINE;
		if (enough(t))
			settle(L, t); /* out of memory */
	}
}

static int push_results(lua_State *L, struct op *op)
{
	struct probing *p = (struct probing *)op;
	struct line *l;

	op->done = false;
	while ((l = take(p))) {
		etcd_answered(L, l);
		if (!l->target->settled && enough(l->target))
			settle(L, l->target);
	}
	launch(L, p);
	if (p->open)
		return loop_wait(L, op);
	lua_pushvalue(L, RESULTS);
	return 1;
}

static int probing_gc(lua_State *L)
{
	struct probing *p = luaL_checkudata(L, 1, PROBING);

	for (struct target *t; (t = p->targets);) {
		p->targets = t->next;
		http_end(&t->peer.transfer);
		http_end(&t->client.transfer);
		free(t);
	}
	return 0;
}

static double number(lua_State *L, const char *key, double otherwise)
{
	lua_getfield(L, OPTIONS, key);
	double value = luaL_optnumber(L, -1, otherwise);
	lua_pop(L, 1);
	return value;
}

/* Push the header line of o.authorization, where it stays; NULL without one. */
static const char *push_authorization(lua_State *L)
{
	size_t n;

	if (lua_getfield(L, OPTIONS, "authorization") == LUA_TNIL)
		return NULL;
	const char *token = luaL_checklstring(L, -1, &n);
	if (!n || strlen(token) != n || strpbrk(token, "\r\n"))
		luaL_error(L, "authorization must be one line");
	return lua_pushfstring(L, "Authorization: %s", token);
}

static int start(lua_State *L, enum kind kind)
{
	luaL_checktype(L, OPTIONS, LUA_TTABLE);
	lua_settop(L, OPTIONS);
	luaL_checkstack(L, 40, NULL);
	for (int i = RESULTS; i < OPERATION; i++)
		lua_newtable(L);
	struct probing *p = lua_newuserdatauv(L, sizeof *p, 0);
	*p = (struct probing){ .op.push = push_results, .kind = kind };
	p->tail = &p->targets;
	p->last = &p->answered;
	luaL_setmetatable(L, PROBING);
	lua_toclose(L, OPERATION);
	http_tls(L, OPTIONS, "tls", &p->tls);
	http_tls(L, OPTIONS, "peer_tls", &p->peer_tls);
	p->authorization = push_authorization(L);
	p->connect_timeout = number(L, "connect_timeout", 2);
	p->timeout = number(L, "timeout", 5);
	lua_getfield(L, OPTIONS, "learn");
	p->learn = lua_toboolean(L, -1);
	lua_getfield(L, OPTIONS, "targets");
	luaL_checktype(L, -1, LUA_TTABLE);
	for (lua_Integer i = 1; lua_rawgeti(L, -1, i) != LUA_TNIL; i++)
		add_target(L, p, false);
	lua_pop(L, 1);
	return push_results(L, &p->op);
}

/* etcd.probe{targets=, tls=, peer_tls=, authorization=, connect_timeout=, timeout=, learn=}
 * -> Probe[]   (waits) */
static int etcd_probe(lua_State *L)
{
	return start(L, PROBE);
}

/* etcd.lists{targets=, peer_tls=, connect_timeout=, timeout=}
 * -> {key=, peer_url=, cluster_id=, members=, code=, why=}[]   (waits) */
static int etcd_lists(lua_State *L)
{
	return start(L, LISTS);
}

/* etcd.ask{targets=, peer_tls=, connect_timeout=, timeout=}
 * -> {key=, name=, answer=, code=, why=, sent=, at=}[]   (waits) */
static int etcd_ask(lua_State *L)
{
	return start(L, ASK);
}

int luaopen_core_etcd(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__close", probing_gc },
		{ "__gc", probing_gc },
		{ NULL, NULL },
	};
	static const luaL_Reg functions[] = {
		{ "ask", etcd_ask },
		{ "decimal", etcd_decimal },
		{ "founded", etcd_founded },
		{ "hex", etcd_hex },
		{ "identify", etcd_identify },
		{ "lists", etcd_lists },
		{ "probe", etcd_probe },
		{ NULL, NULL },
	};

	new_type(L, PROBING, meta, NULL);
	luaL_newlib(L, functions);
	return 1;
}
