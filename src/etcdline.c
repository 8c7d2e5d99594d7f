/* etcdline.c - a line to one port: the questions that follow one another on it, and what their
 * answers tell.  libcurl's callback only queues the line; reading happens in the coroutine.
 */
#include "etcdprobe.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX ((size_t)4 << 20)

static const char *const paths[] = {
	[MEMBERS] = "/members",
	[VERSIONS] = "/version",
	[BOOTSTRAP] = "/bootstrap",
	[HEALTH] = "/health?exclude=NOSPACE",
	[LIST_V3] = "/v3/cluster/member/list",
	[LIST_V3BETA] = "/v3beta/cluster/member/list",
	[LIST_V3ALPHA] = "/v3alpha/cluster/member/list",
	[LIST_V2] = "/v2/members",
	[STATUS] = "/maintenance/status",
	[SELF] = "/v2/stats/self",
};

static const char *const apis[] = {
	[LIST_V3] = "/v3",
	[LIST_V3BETA] = "/v3beta",
	[LIST_V3ALPHA] = "/v3alpha",
	[LIST_V2] = "/v2",
};

static void line_finished(struct transfer *transfer)
{
	struct line *l = (struct line *)((char *)transfer - offsetof(struct line, transfer));
	struct probing *p = l->target->op;

	l->target->at = loop_now();
	l->queued = true;
	l->next = NULL;
	*p->last = l;
	p->last = &l->next;
	loop_done(&p->op);
}

void etcd_hang_up(struct line *l, enum outcome outcome)
{
	struct probing *p = l->target->op;

	for (struct line **at = &p->answered; l->queued && *at; at = &(*at)->next)
		if (*at == l) {
			if (!(*at = l->next))
				p->last = at;
			l->queued = false;
			break;
		}
	http_end(&l->transfer);
	l->outcome = outcome;
}

void etcd_give_up(struct line *l, const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->why, sizeof l->why, fmt, ap);
	va_end(ap);
	l->code = code;
	etcd_hang_up(l, FAILED);
}

/* Seconds that a question may take to connect: the first one's count from the start of its wave. */
static double patience(const struct target *t, enum question question)
{
	bool first = question == MEMBERS || question == HEALTH || t->op->kind == ASK;
	double late = first ? loop_now() - t->sent : 0, limit = t->op->connect_timeout;

	return limit - (late < limit / 2 ? late : limit / 2);
}

void etcd_send(struct line *l, enum question question)
{
	struct target *t = l->target;
	struct probing *p = t->op;
	struct transfer *x = &l->transfer;
	bool post = question == STATUS || (question >= LIST_V3 && question <= LIST_V3ALPHA);
	char url[ETCD_URL + 64];

	snprintf(
	    url, sizeof url, "%s%s%s", l->base, question == STATUS ? t->api : "", paths[question]);
	l->question = question;
	if (!x->easy) {
		*x = (struct transfer){ .limit = BODY_MAX, .finished = line_finished };
		bool peer = l == &t->peer;
		if (!http_begin(x, url, peer ? &p->peer_tls : &p->tls) ||
		    !http_header(x, "Content-Type: application/json") ||
		    (!peer && p->authorization && !http_header(x, p->authorization))) {
			etcd_give_up(l, "io", "out of memory");
			return;
		}
		curl_easy_setopt(x->easy, CURLOPT_BUFFERSIZE, 4096L);
		l->outcome = ASKING;
	}
	http_deadline(x, patience(t, question), t->sent + p->timeout - loop_now());
	if (!http_again(x, url, post ? "{}" : NULL) || !http_start(x))
		etcd_give_up(l, "io", "out of memory");
}

/* The transfer brought no response. */
static void explain(struct line *l)
{
	struct transfer *x = &l->transfer;
	enum outcome outcome = FAILED;

	l->code = http_explain(x, l->why, sizeof l->why);
	if (x->result == CURLE_COULDNT_CONNECT && x->os_errno == ECONNREFUSED && x->sockets == 1)
		outcome = REFUSED;
	else if (x->result == CURLE_OPERATION_TIMEDOUT && x->connected && !x->head.n)
		outcome = SILENT;
	else if (x->result == CURLE_COULDNT_CONNECT && x->os_errno == ECONNREFUSED)
		snprintf(
		    l->why, sizeof l->why, "several addresses, the last refused the connection");
	etcd_hang_up(l, outcome);
}

/* No token, or one that has run out: what a new login changes. */
static bool wants_login(const char *message)
{
	return strstr(message, "user name is empty") || strstr(message, "invalid auth token") ||
	       strstr(message, "revision of auth store is old");
}

/* etcd 3.4 and later: its gateway would lose the name that the certificate logs in with. */
static bool refuses_common_name(const char *message)
{
	return strstr(message, "CommonName of client");
}

/* The response has a status that tells of no answer. */
static void explain_status(lua_State *L, struct line *l)
{
	const struct transfer *x = &l->transfer;
	char message[160];
	const char *code = x->status == 401   ? "auth"
			   : x->status == 403 ? "denied"
			   : x->status == 404 ? "missing"
			   : x->status == 429 ? "throttled"
					      : "http";

	etcd_read_error(L, x->body.s, x->body.n, message, sizeof message);
	const char *hint =
	    x->status == 401 || x->status == 403 ? " (it is up, but refuses us)" : "";
	if (wants_login(message)) {
		l->target->login = true;
		code = "auth";
		hint = " (etcd is up, login needed)";
	} else if (refuses_common_name(message)) {
		code = "auth";
		hint = " (etcd is up with its auth on, and its HTTP gateway takes no client "
		       "certificate with a CommonName: give etcd.tls.probe_cert one without)";
	}
	etcd_give_up(l, code, "%.80s: status %ld%s%s%s", paths[l->question], x->status, hint,
	    *message ? ": " : "", message);
}

static void bad_body(struct line *l, const char *why)
{
	char copy[300];

	snprintf(copy, sizeof copy, "%s", why);
	etcd_give_up(l, "parse", "%s: %s", paths[l->question], copy);
}

static void copy_field(lua_State *L, const char *key, char *out, size_t n)
{
	lua_getfield(L, -1, key);
	snprintf(out, n, "%s", lua_tostring(L, -1));
	lua_pop(L, 1);
}

/* Answers of the peer port. */

static bool cluster_header(struct line *l, char id[ETCD_ID])
{
	size_t n;
	const char *text = http_field(&l->transfer, "X-Etcd-Cluster-Id", &n);

	if (text && n <= 16 && etcd_id(text, n, 16, id))
		return true;
	etcd_give_up(l, "parse", "%s: no valid X-Etcd-Cluster-Id", paths[l->question]);
	return false;
}

/* A target without a client URL: the member that it is may have published one. */
static void find_client(lua_State *L, struct target *t)
{
	lua_getfield(L, -1, "client_urls");
	if (lua_rawgeti(L, -1, 1) == LUA_TSTRING) {
		snprintf(t->client_url, sizeof t->client_url, "%s", lua_tostring(L, -1));
		lua_rawgeti(L, RESULTS, t->index);
		lua_pushvalue(L, -2);
		lua_setfield(L, -2, "client_url");
		lua_pop(L, 1);
		etcd_send(&t->client, HEALTH);
	}
	lua_pop(L, 2);
}

static void read_members(lua_State *L, struct line *l)
{
	struct target *t = l->target;
	struct probing *p = t->op;
	const struct buf *body = &l->transfer.body;
	struct etcd_status none = { 0 };
	char why[256];

	if (l->transfer.status == 404 && p->kind == PROBE) {
		etcd_send(l, BOOTSTRAP);
		return;
	}
	if (l->transfer.status != 200) {
		explain_status(L, l);
		return;
	}
	if (!cluster_header(l, t->peer_cluster))
		return;
	if (!etcd_read_members(L, ETCD_PEER, body->s, body->n, &none, why, sizeof why)) {
		bad_body(l, why);
		return;
	}
	t->peer_listed = true;
	etcd_learn(L, p);
	lua_rawseti(L, PEER_LISTS, t->index);
	if (etcd_push_member(L, t, PEER_LISTS, NULL)) {
		copy_field(L, "id", t->peer_member, sizeof t->peer_member);
		if (p->kind == PROBE && !*t->client_url)
			find_client(L, t);
		lua_pop(L, 1);
	}
	if (p->kind == PROBE)
		etcd_send(l, VERSIONS);
	else
		etcd_hang_up(l, FINE);
}

static void read_version(lua_State *L, struct line *l)
{
	struct target *t = l->target;
	const struct buf *body = &l->transfer.body;
	char why[256];

	if (l->transfer.status != 200) {
		explain_status(L, l);
	} else if (!etcd_read_version(
		       L, body->s, body->n, t->version, t->cluster_version, why, sizeof why)) {
		bad_body(l, why);
	} else {
		t->undecided = strcmp(t->cluster_version, "not_decided") == 0;
		t->decided = !t->undecided;
		etcd_hang_up(l, FINE);
	}
}

static void read_bootstrap(lua_State *L, struct line *l)
{
	struct target *t = l->target;
	const struct buf *body = &l->transfer.body;
	char why[256];

	if (l->transfer.status != 200) {
		explain_status(L, l);
		return;
	}
	if (!etcd_read_answer(L, body->s, body->n, why, sizeof why)) {
		bad_body(l, why);
		return;
	}
	lua_rawgeti(L, RESULTS, t->index);
	lua_getfield(L, -1, "name");
	lua_getfield(L, -3, "name");
	if (lua_rawequal(L, -1, -2)) {
		lua_pushvalue(L, -4);
		lua_setfield(L, -4, "answer");
		t->waiting = true;
		etcd_hang_up(l, FINE);
	} else {
		etcd_give_up(l, "conflict",
		    "the roll call is answered by \"%.100s\", not by \"%.100s\"",
		    lua_tostring(L, -1), lua_isnil(L, -2) ? "" : lua_tostring(L, -2));
	}
	lua_pop(L, 4);
}

/* Answers of the client port. */

static void read_health(lua_State *L, struct line *l)
{
	const struct buf *body = &l->transfer.body;
	long status = l->transfer.status;
	char why[256];
	bool healthy;

	if (status != 200 && status != 503) {
		explain_status(L, l);
	} else if (!etcd_read_health(L, body->s, body->n, &healthy, why, sizeof why)) {
		if (status == 503)
			explain_status(L, l);
		else
			bad_body(l, why);
	} else if (healthy && status == 200) {
		l->target->healthy = true;
		if (l->target->op->kind == LISTS)
			etcd_hang_up(l, FINE);
		else
			etcd_send(l, LIST_V3);
	} else {
		snprintf(
		    l->why, sizeof l->why, "it reports health false%s%s", *why ? ": " : "", why);
		l->code = "quorum";
		etcd_hang_up(l, UNHEALTHY);
	}
}

static void read_list(lua_State *L, struct line *l)
{
	struct target *t = l->target;
	const struct transfer *x = &l->transfer;
	bool v2 = l->question == LIST_V2;
	char why[256];

	if (x->status == 404 && !v2) {
		etcd_send(l, l->question + 1);
		return;
	}
	if (x->status != 200) {
		etcd_read_error(L, x->body.s, x->body.n, why, sizeof why);
		t->learner = strstr(why, "rpc not supported for learner");
		if (!t->learner) {
			explain_status(L, l);
			return;
		}
		t->api = apis[l->question];
		etcd_send(l, STATUS);
		return;
	}
	if (v2 && !cluster_header(l, t->status.cluster_id))
		return;
	if (!etcd_read_members(L, v2 ? ETCD_V2 : ETCD_GATEWAY, x->body.s, x->body.n, &t->status,
		why, sizeof why)) {
		bad_body(l, why);
		return;
	}
	t->listed = true;
	t->api = apis[l->question];
	etcd_learn(L, t->op);
	lua_rawseti(L, CLIENT_LISTS, t->index);
	etcd_send(l, v2 ? SELF : STATUS);
}

/* Only a learner needs it; for a voter its own entry in the list has said enough. */
static void read_status(lua_State *L, struct line *l)
{
	struct target *t = l->target;
	struct etcd_status status = { 0 };
	const struct transfer *x = &l->transfer;
	char why[256];

	if (x->status == 200 &&
	    etcd_read_status(L, x->body.s, x->body.n, &status, why, sizeof why)) {
		if (!t->listed || (strcmp(status.member_id, t->status.member_id) == 0 &&
				      strcmp(status.cluster_id, t->status.cluster_id) == 0))
			t->status = status;
		t->learner = t->learner || status.learner;
	}
	etcd_hang_up(l, FINE);
}

static void read_self(lua_State *L, struct line *l)
{
	struct target *t = l->target;
	const struct transfer *x = &l->transfer;
	char why[256];

	if (x->status != 200)
		explain_status(L, l);
	else if (!etcd_read_self(L, x->body.s, x->body.n, t->status.member_id, why, sizeof why))
		bad_body(l, why);
	else
		etcd_hang_up(l, FINE);
}

static void (*const readers[])(lua_State *L, struct line *l) = {
	[MEMBERS] = read_members,
	[VERSIONS] = read_version,
	[BOOTSTRAP] = read_bootstrap,
	[HEALTH] = read_health,
	[LIST_V3] = read_list,
	[LIST_V3BETA] = read_list,
	[LIST_V3ALPHA] = read_list,
	[LIST_V2] = read_list,
	[STATUS] = read_status,
	[SELF] = read_self,
};

void etcd_answered(lua_State *L, struct line *l)
{
	if (l->transfer.result == CURLE_OK)
		readers[l->question](L, l);
	else
		explain(l);
}
