/* gate.c - core.gate: the safety rules between what a policy asks for and what may be done.
 *
 * Each rule is a pure function of view and plan that says yes, or no and why.  They are asked in
 * the order of the table below; when all that apply say yes, a permit is handed out that can be
 * taken once, for that action only, and holds everything that the act needs.  No fact that C can
 * recompute from raw answers is believed from Lua.
 */
#include "gate.h"
#include "loop.h"

#include <stdio.h>
#include <string.h>

#define PERMIT "eb.permit"

struct permit { /* what it allows is its user value */
	bool taken;
};

static const char *const actions[] = { "claim", "new", "add", "remove", "promote", "update",
	"aside", "start", "standby", "wait", "fail", "leave", NULL };

static const struct rule {
	const char *name;
	int actions;
	bool override;
	bool (*holds)(const struct view *v, const struct plan *p, struct why *why);
} rules[] = {
	{ "paused", CHANGES | CLAIM | NEW, true, rule_paused },
	{ "version", ADD | PROMOTE | START, true, rule_version },
	{ "one-at-a-time", CHANGES, true, rule_one_at_a_time },
	{ "rivals", CHANGES | CLAIM | NEW, false, rule_rivals },
	{ "incomplete-list", CLAIM | NEW | REMOVE, true, rule_incomplete_list },
	{ "desired-size", CLAIM | NEW, true, rule_desired_size },
	{ "leaving", CLAIM | NEW, true, rule_leaving },
	{ "roll-call", CLAIM | NEW, true, rule_roll_call },
	{ "claim", CLAIM, true, rule_claim },
	{ "marker", NEW, true, rule_marker },
	{ "amnesia", START, false, rule_amnesia },
	{ "data-dir", NEW | CLAIM | START | ASIDE | UPDATE | LEAVE, false, rule_data_dir },
	{ "not-proven-dead", REMOVE, true, rule_not_proven_dead },
	{ "quorum-after", REMOVE | ADD | PROMOTE | LEAVE, true, rule_quorum_after },
	{ "pending", ADD | LEAVE, true, rule_pending },
};

#define RULES (sizeof rules / sizeof *rules)

#ifdef GATE_TEST
static const struct rule *switched_off[RULES];
#endif

static const struct rule *rule_named(const char *name)
{
	for (size_t i = 0; i < RULES; i++)
		if (!strcmp(rules[i].name, name))
			return &rules[i];
	return NULL;
}

/* An override of roll-call does not replace the refusals of found = "refused", only the marker; one
 * of marker does without it, and writes over nobody's. */
static bool skipped(
    const struct view *v, const struct plan *p, const struct rule *r, const bool *waived)
{
#ifdef GATE_TEST
	for (size_t i = 0; i < RULES; i++)
		if (switched_off[i] == r)
			return true;
#endif
	return waived[r - rules] && !(r->holds == rule_roll_call && v->found_refused) &&
	       !(r->holds == rule_marker && p->reserve);
}

static void read_overrides(lua_State *L, int index, bool *waived)
{
	if (lua_isnoneornil(L, index))
		return;
	luaL_checktype(L, index, LUA_TTABLE);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		const struct rule *r =
		    lua_type(L, -2) == LUA_TSTRING ? rule_named(lua_tostring(L, -2)) : NULL;
		bool wanted = lua_toboolean(L, -1);

		if (!r)
			luaL_argerror(L, index, "no such rule to override");
		else if (wanted && !r->override)
			luaL_error(L, "rule %s cannot be overridden", r->name);
		else
			waived[r - rules] = wanted;
	}
}

static struct plan read_plan(lua_State *L, int index)
{
	struct plan p = { 0 };
	int i = 0;

	luaL_checktype(L, index, LUA_TTABLE);
	lua_getfield(L, index, "action");
	const char *name = luaL_tolstring(L, -1, NULL);
	if ((p.reserve = !strcmp(name, "reserve"))) /* what holds for new, holds for its marker */
		name = "new";
	while (actions[i] && strcmp(actions[i], name) != 0)
		i++;
	if (!actions[i])
		luaL_error(L, "plan: no such action '%s'", name);
	p.action = (enum action)(1 << i);
	lua_getfield(L, index, "learner");
	p.learner = lua_toboolean(L, -1);
	lua_getfield(L, index, "member");
	if (lua_type(L, -1) == LUA_TSTRING
		? !view_id(lua_tostring(L, -1), &p.member) || !p.member
		: !lua_isnil(L, -1) || p.action & (REMOVE | PROMOTE | UPDATE | LEAVE))
		luaL_error(L, "plan: %s needs the decimal id of a member", name);
	lua_pop(L, 4);
	return p;
}

/* The permit ------------------------------------------------------------------------------------*/

static void push_id(lua_State *L, uint64_t id)
{
	char s[24];

	snprintf(s, sizeof s, "%" PRIu64, id);
	if (id)
		lua_pushstring(L, s);
	else
		lua_pushnil(L);
}

/* Push a deep copy of the value at index: what was allowed must not change afterwards. */
static void push_copy(lua_State *L, int index)
{
	index = lua_absindex(L, index);
	if (!lua_istable(L, index)) {
		lua_pushvalue(L, index);
		return;
	}
	luaL_checkstack(L, 6, "permit");
	lua_newtable(L);
	for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
		lua_pushvalue(L, -2);
		push_copy(L, -2);
		lua_rawset(L, -5);
	}
}

/* allowed[key] = facts[outer][inner?][field], where allowed is on top. */
static void copy_field(
    lua_State *L, const char *key, const char *outer, const char *inner, const char *field)
{
	lua_getfield(L, 1, outer);
	if (inner) {
		lua_getfield(L, -1, inner);
		lua_remove(L, -2);
	}
	lua_getfield(L, -1, field);
	push_copy(L, -1);
	lua_setfield(L, -4, key);
	lua_pop(L, 2);
}

static void allow_founding(lua_State *L, const struct view *v, const struct plan *p)
{
	bool claimed = p->action == NEW && v->data.claim.given && (!p->reserve || seen_resumes(v));
	const char *outer = claimed ? "data_dir" : "founding", *inner = claimed ? "claim" : NULL;

	copy_field(L, "members", outer, inner, "list");
	copy_field(L, "token", outer, inner, "token");
	copy_field(L, "cluster_id", outer, inner, "cluster_id");
	copy_field(L, "member_id", outer, inner, "member_id");
}

static void push_allowed(lua_State *L, const struct view *v, const struct plan *p)
{
	uint64_t cluster = v->u, member = p->member;

	lua_createtable(L, 0, 7);
	lua_getfield(L, 2, "action");
	lua_setfield(L, -2, "action");
	lua_pushboolean(L, p->action == ADD && p->learner);
	lua_setfield(L, -2, "learner");
	if (p->action & (ADD | UPDATE))
		copy_field(L, "peer_urls", "me", NULL, "peer_urls");
	if (p->action & (CLAIM | NEW)) {
		allow_founding(L, v, p);
		return;
	}
	if (p->action & (START | ASIDE) && v->data.state == DATA_MEMBER) {
		cluster = v->data.cluster;
		member = v->data.member;
	} else if (p->action == START) {
		const struct member *m = rule_slot(v, &cluster);
		member = m ? m->id : 0;
	}
	push_id(L, cluster);
	lua_setfield(L, -2, "cluster_id");
	push_id(L, member);
	lua_setfield(L, -2, "member_id");
}

/* Permit:take(action) -> Allowed */
static int permit_take(lua_State *L)
{
	struct permit *permit = luaL_checkudata(L, 1, PERMIT);
	const char *action = luaL_checkstring(L, 2);

	lua_getiuservalue(L, 1, 1);
	lua_getfield(L, -1, "action");
	if (strcmp(lua_tostring(L, -1), action) != 0)
		return luaL_error(
		    L, "this permit is for %s and not for %s", lua_tostring(L, -1), action);
	if (permit->taken)
		return luaL_error(L, "this permit for %s was taken already", action);
	permit->taken = true;
	lua_pop(L, 1);
	return 1;
}

/* gate.check(facts, plan, overrides) -> permit | nil, message, rule */
static int gate_check(lua_State *L)
{
	struct view v = { 0 };
	struct why why = { "" };
	bool waived[RULES] = { false };

	lua_settop(L, 3);
	struct plan p = read_plan(L, 2);
	read_overrides(L, 3, waived);
	lua_newtable(L);
	view_read(L, &v, 4);
	v.roll_call_waived = waived[rule_named("roll-call") - rules];
	for (size_t i = 0; i < RULES; i++) {
		const struct rule *r = &rules[i];
		if (!(r->actions & (int)p.action) || skipped(&v, &p, r, waived) ||
		    r->holds(&v, &p, &why))
			continue;
		lua_pushnil(L);
		lua_pushstring(L, why.text);
		lua_pushstring(L, r->name);
		return 3;
	}
	struct permit *permit = lua_newuserdatauv(L, sizeof *permit, 1);
	*permit = (struct permit){ 0 };
	luaL_setmetatable(L, PERMIT);
	push_allowed(L, &v, &p);
	lua_setiuservalue(L, -2, 1);
	return 1;
}

/* gate.rules() -> {name, override}[] */
static int gate_rules(lua_State *L)
{
	lua_createtable(L, (int)RULES, 0);
	for (size_t i = 0; i < RULES; i++) {
		lua_createtable(L, 0, 2);
		lua_pushstring(L, rules[i].name);
		lua_setfield(L, -2, "name");
		lua_pushboolean(L, rules[i].override);
		lua_setfield(L, -2, "override");
		lua_rawseti(L, -2, (lua_Integer)i + 1);
	}
	return 1;
}

#ifdef GATE_TEST
/* gate.off(rule...)   for the oracle alone: the rules named are off, all others on */
static int gate_off(lua_State *L)
{
	memset(switched_off, 0, sizeof switched_off);
	for (int i = 1; i <= lua_gettop(L) && i <= (int)RULES && !lua_isnil(L, i); i++) {
		const struct rule *r = rule_named(luaL_checkstring(L, i));
		luaL_argcheck(L, r, i, "no such rule");
		switched_off[i - 1] = r;
	}
	return 0;
}
#endif

int luaopen_core_gate(lua_State *L)
{
	static const luaL_Reg none[] = { { NULL, NULL } };
	static const luaL_Reg methods[] = { { "take", permit_take }, { NULL, NULL } };
	static const luaL_Reg functions[] = { { "check", gate_check }, { "rules", gate_rules },
#ifdef GATE_TEST
		{ "off", gate_off },
#endif
		{ NULL, NULL } };

	new_type(L, PERMIT, none, methods);
	luaL_newlib(L, functions);
	return 1;
}
