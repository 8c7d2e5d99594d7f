/* etcdverdict.c - what the answers of both ports make of an address. */
#include "etcdprobe.h"

#include <stdlib.h>
#include <string.h>

/* Whether the node itself is a voter, by the list that it gave after it said that it is healthy.
 * The v2 API tells nothing of learners: there the peer port has to. */
static bool is_voter(lua_State *L, struct target *t)
{
	bool v2 = t->api && strcmp(t->api, "/v2") == 0;

	if (!t->healthy || !t->listed || t->learner || t->client.outcome != FINE)
		return false;
	if (!etcd_push_member(L, t, CLIENT_LISTS, t->status.member_id)) {
		etcd_give_up(&t->client, "conflict", "it is not in its own list of members");
		return false;
	}
	if (v2) {
		lua_pop(L, 1);
		if (!etcd_push_member(L, t, PEER_LISTS, t->status.member_id)) {
			etcd_give_up(
			    &t->client, "conflict", "whether it is a learner is not known");
			return false;
		}
	}
	lua_getfield(L, -1, "learner");
	t->learner = lua_toboolean(L, -1);
	lua_pop(L, 2);
	return !t->learner;
}

static const char *judge(lua_State *L, struct target *t)
{
	bool voter = is_voter(L, t);
	bool foreign = (voter || t->learner) && t->peer_listed && *t->status.cluster_id &&
		       strcmp(t->peer_cluster, t->status.cluster_id) != 0;

	if (foreign) {
		etcd_give_up(&t->client, "conflict",
		    "cluster %llx answers there, on the peer port cluster %llx",
		    strtoull(t->status.cluster_id, NULL, 10), strtoull(t->peer_cluster, NULL, 10));
		return "unknown";
	}
	if (voter || (t->learner && t->client.outcome == FINE))
		return voter ? "quorum" : "learner";
	if (t->waiting)
		return "waiting";
	if (t->undecided && !t->healthy)
		return "founding";
	if (t->decided && !t->healthy &&
	    (t->client.outcome == SILENT || t->client.outcome == UNHEALTHY || !*t->client_url))
		return "no-quorum";
	if (t->peer.outcome == REFUSED && (t->client.outcome == REFUSED || !*t->client_url))
		return "refused";
	return "unknown";
}

/* Push why in words: what went wrong on either port. */
static void push_why(lua_State *L, const struct target *t)
{
	const struct line *peer = &t->peer, *client = &t->client;

	if (!*peer->why && !*client->why)
		lua_pushfstring(L, "peer port %s answers, client port %s does not fit", t->peer_url,
		    *t->client_url ? t->client_url : "(none)");
	else if (!*client->why)
		lua_pushfstring(L, "peer port %s: %s", t->peer_url, peer->why);
	else if (!*peer->why)
		lua_pushfstring(L, "client port %s: %s", t->client_url, client->why);
	else if (strcmp(peer->why, client->why) == 0)
		lua_pushfstring(L, "peer port %s and client port %s: %s", t->peer_url,
		    t->client_url, peer->why);
	else
		lua_pushfstring(L, "peer port %s: %s; client port %s: %s", t->peer_url, peer->why,
		    t->client_url, client->why);
}

static void set(lua_State *L, const char *key, const char *value)
{
	if (!value || !*value)
		return;
	lua_pushstring(L, value);
	lua_setfield(L, -2, key);
}

/* The code of either port that tells most: what answers and is not understood before silence. */
static const char *gravest(const struct target *t)
{
	static const char *const codes[] = { "tls", "auth", "denied", "http", "missing", "parse",
		"throttled", "conflict", "quorum", "dns", "io", "usage", "unreachable", "timeout",
		"refused" };

	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
		if ((t->peer.code && strcmp(t->peer.code, codes[i]) == 0) ||
		    (t->client.code && strcmp(t->client.code, codes[i]) == 0))
			return codes[i];
	return NULL;
}

static void report_probe(lua_State *L, struct target *t)
{
	const char *verdict = judge(L, t);
	bool unknown = strcmp(verdict, "unknown") == 0;
	bool client = t->listed && (unknown || strcmp(verdict, "quorum") == 0);

	set(L, "verdict", verdict);
	if (unknown || strcmp(verdict, "no-quorum") == 0)
		push_why(L, t);
	else
		lua_pushliteral(L, "");
	lua_setfield(L, -2, "why");
	set(L, "code", unknown ? gravest(t) : NULL);
	if (t->login) {
		lua_pushboolean(L, 1);
		lua_setfield(L, -2, "login");
	}
	set(L, "cluster_id",
	    (client || !*t->peer_cluster) ? t->status.cluster_id : t->peer_cluster);
	set(L, "member_id", *t->status.member_id ? t->status.member_id : t->peer_member);
	if (lua_rawgeti(L, client ? CLIENT_LISTS : PEER_LISTS, t->index) == LUA_TTABLE)
		lua_setfield(L, -2, "members");
	else
		lua_pop(L, 1);
	set(L, "leader", t->status.leader);
	set(L, "version", *t->status.version ? t->status.version : t->version);
	set(L, "cluster_version", t->decided ? t->cluster_version : NULL);
	set(L, "api", t->api);
	if (*t->status.version && t->status.applied >= 0) {
		lua_pushinteger(L, t->status.applied);
		lua_setfield(L, -2, "applied");
	}
}

static void report_line(lua_State *L, struct target *t)
{
	const struct line *l = &t->peer;

	if (l->outcome != FINE) {
		set(L, "code", l->code);
		push_why(L, t);
		lua_setfield(L, -2, "why");
	} else if (t->peer_listed) {
		set(L, "cluster_id", t->peer_cluster);
		lua_rawgeti(L, PEER_LISTS, t->index);
		lua_setfield(L, -2, "members");
	}
	lua_pushboolean(L, t->healthy);
	lua_setfield(L, -2, "healthy");
}

void etcd_report(lua_State *L, struct target *t)
{
	if (t->op->kind == PROBE)
		report_probe(L, t);
	else
		report_line(L, t);
}
