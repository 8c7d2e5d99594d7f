/* gateseen.c - what follows from a view, recomputed from the raw answers: the one cluster with
 * quorum, who answers as which member, which machine is dead, who has a vote.
 *
 * Every function errs towards "not proven": a missing thing is unknown, and unknown neither
 * founds nor removes.
 */
#include "gate.h"

#include <string.h>

/* The host of a canonical URL, which always has its port written; brackets are left out, as in a
 * bare address. */
static size_t host_of(const char *url, const char **host)
{
	const char *start = strstr(url, "://");
	const char *colon = strrchr(url, ':');

	*host = start ? start + 3 : url;
	size_t n = start && colon > *host ? (size_t)(colon - *host) : strlen(*host);
	if (n > 2 && **host == '[' && (*host)[n - 1] == ']') {
		++*host;
		n -= 2;
	}
	return n;
}

bool seen_same_place(const char *url, const char *other)
{
	const char *a, *b;
	size_t n = host_of(url, &a);

	return n == host_of(other, &b) && n && !memcmp(a, b, n);
}

static bool any_place(const struct texts *urls, const char *url)
{
	for (size_t i = 0; i < urls->n; i++)
		if (seen_same_place(urls->at[i], url))
			return true;
	return false;
}

static bool lives_at(const struct instance *in, const struct texts *urls)
{
	if (in->url && any_place(urls, in->url))
		return true;
	for (size_t i = 0; i < in->addresses.n; i++)
		if (any_place(urls, in->addresses.at[i]))
			return true;
	return false;
}

bool seen_holds(const struct texts *t, const char *s)
{
	for (size_t i = 0; i < t->n; i++)
		if (!strcmp(t->at[i], s))
			return true;
	return false;
}

const struct member *seen_member(const struct members *list, uint64_t id)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->at[i].id == id)
			return &list->at[i];
	return NULL;
}

const struct instance *seen_named(const struct view *v, const char *name)
{
	for (size_t i = 0; i < v->inventory.n; i++)
		if (v->inventory.at[i].name && !strcmp(v->inventory.at[i].name, name))
			return &v->inventory.at[i];
	return NULL;
}

size_t seen_majority(size_t n)
{
	return n / 2 + 1;
}

/* The clusters ---------------------------------------------------------------------------------*/

static bool witness(const struct view *v, const struct probe *p)
{
	return p->verdict == QUORUM && p->cluster == v->u;
}

/* Which of two witnesses is further; the key decides a tie, so that the same facts always do. */
static bool knows_more(const struct probe *p, const struct probe *than)
{
	return p->applied != than->applied ? p->applied > than->applied
					   : strcmp(p->key, than->key) < 0;
}

void seen_clusters(struct view *v)
{
	static const struct members nobody;
	const struct probe *best = NULL;

	for (size_t i = 0; i < v->nprobes; i++) {
		const struct probe *p = &v->probes[i];
		if (p->verdict != QUORUM || (v->nquorum && p->cluster == v->ids[0]) ||
		    v->nquorum == 2)
			continue;
		v->ids[v->nquorum++] = p->cluster;
	}
	v->u = v->nquorum == 1 ? v->ids[0] : 0;
	for (size_t i = 0; v->u && i < v->nprobes; i++) {
		const struct probe *p = &v->probes[i];
		if (witness(v, p) && p->list.n && (!best || knows_more(p, best)))
			best = p;
	}
	v->roster = best ? &best->list : &nobody;
}

size_t seen_listings(const struct view *v, uint64_t id, size_t *lists)
{
	size_t n = 0;

	*lists = 0;
	for (size_t i = 0; v->u && i < v->nprobes; i++) {
		const struct probe *p = &v->probes[i];
		if (!witness(v, p) || !p->list.n)
			continue;
		++*lists;
		n += seen_member(&p->list, id) != NULL;
	}
	return n;
}

const struct member *seen_without_quorum(
    const struct view *v, uint64_t cluster, uint64_t id, bool founding_too)
{
	for (size_t i = 0; cluster && i < v->nprobes; i++) {
		const struct probe *p = &v->probes[i];
		if (p->cluster != cluster ||
		    (p->verdict != NO_QUORUM && !(founding_too && p->verdict == FOUNDING)))
			continue;
		const struct member *m = seen_member(&p->list, id);
		if (m)
			return m;
	}
	return NULL;
}

/* An etcd of that founding which was killed right after it made its log: it lists nobody yet.  It
 * holds no entry, and neither does this disk, so the two cannot outvote a majority that does. */
static bool founding_blank(const struct view *v, uint64_t cluster)
{
	for (size_t i = 0; i < v->nprobes; i++) {
		const struct probe *p = &v->probes[i];
		if (p->verdict == FOUNDING && p->cluster == cluster && !p->list.n)
			return true;
	}
	return false;
}

/* An empty disk that was promised to a founding which has begun elsewhere.  A slot that has started
 * is no such promise: its disk was emptied by hand. */
bool seen_resumes(const struct view *v)
{
	const struct claim *c = &v->data.claim;

	if (v->data.state != DATA_EMPTY || !c->given || !c->founding || v->nquorum)
		return false;
	const struct member *m = seen_without_quorum(v, c->cluster, c->member, true);
	return m ? !m->started : founding_blank(v, c->cluster);
}

/* The members ----------------------------------------------------------------------------------*/

bool seen_as(const struct view *v, const struct member *m, enum verdict verdict)
{
	for (size_t i = 0; i < v->nprobes; i++) {
		const struct probe *p = &v->probes[i];
		if (p->verdict == verdict && p->cluster == v->u && p->member == m->id && m->id)
			return true;
	}
	return false;
}

/* An etcd of the cluster at the member's address that does not say who it is may be the member. */
bool seen_answers(const struct view *v, const struct member *m)
{
	for (size_t i = 0; i < v->nprobes; i++) {
		const struct probe *p = &v->probes[i];
		if (p->verdict < FOUNDING || (p->cluster && p->cluster != v->u))
			continue;
		if (p->member ? p->member == m->id : any_place(&m->urls, p->url))
			return true;
	}
	return false;
}

bool seen_silent(const struct view *v, const struct member *m)
{
	bool asked = false;

	for (size_t i = 0; i < v->nprobes; i++)
		asked = asked || any_place(&m->urls, v->probes[i].url);
	return asked && !seen_answers(v, m);
}

bool seen_known(const struct view *v, const struct member *m)
{
	if (*m->name && (seen_named(v, m->name) || !seen_answers(v, m)))
		return seen_named(v, m->name);
	for (size_t i = 0; i < v->inventory.n; i++)
		if (lives_at(&v->inventory.at[i], &m->urls))
			return true;
	return false;
}

size_t seen_known_voters(const struct view *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->roster->n; i++)
		n += !v->roster->at[i].learner && seen_known(v, &v->roster->at[i]);
	return n;
}

const char *seen_name(const struct member *m)
{
	return *m->name ? m->name : m->urls.n ? m->urls.at[0] : "nameless";
}

bool seen_at_mine(const struct view *v, const struct member *m)
{
	for (size_t i = 0; i < v->me.urls.n; i++)
		if (any_place(&m->urls, v->me.urls.at[i]))
			return true;
	return false;
}

bool seen_mine(const struct view *v, const struct member *m)
{
	const struct claim *c = &v->data.claim;

	return seen_at_mine(v, m) || (*m->name && v->me.name && !strcmp(m->name, v->me.name)) ||
	       (c->given && c->cluster == v->u && c->member == m->id);
}

bool seen_myself(const struct view *v, const struct founder *f)
{
	return v->me.name && !strcmp(f->name, v->me.name);
}

size_t seen_voters(const struct members *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++)
		n += !list->at[i].learner;
	return n;
}

size_t seen_votes(const struct view *v, const struct members *list, uint64_t except)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++) {
		const struct member *m = &list->at[i];
		n += !m->learner && m->id != except && seen_as(v, m, QUORUM);
	}
	return n;
}

/* By every witness's list: one that lags must not lend its smaller majority. */
bool seen_strong(const struct view *v)
{
	for (size_t i = 0; v->u && i < v->nprobes; i++) {
		const struct members *list = &v->probes[i].list;
		size_t votes = 0;
		if (!witness(v, &v->probes[i]) || !list->n)
			continue;
		for (size_t j = 0; j < list->n; j++) {
			const struct member *m = &list->at[j];
			votes += !m->learner && !seen_mine(v, m) && m->id != v->data.member &&
				 seen_as(v, m, QUORUM);
		}
		if (votes < seen_majority(seen_voters(list)))
			return false;
	}
	return v->roster->n;
}

/* The machines ---------------------------------------------------------------------------------*/

bool seen_settled(const struct view *v)
{
	const struct inventory *in = &v->inventory;

	return in->given && in->read - in->same_since >= in->lag;
}

bool seen_fresh(const struct view *v)
{
	return v->inventory.given && v->clock - v->inventory.read <= 10;
}

const char *seen_incomplete(const struct view *v)
{
	const struct inventory *in = &v->inventory;
	bool me = false;

	if (!in->given)
		return in->why;
	if (!in->complete)
		return "the provider does not call it complete";
	for (size_t i = 0; i < in->n; i++) {
		const struct instance *a = &in->at[i];
		me = me || (v->me.id && in->self && !strcmp(in->self, v->me.id) &&
			       !strcmp(a->id, v->me.id));
		if ((a->state == BOOTING || a->state == LIVE) && (!a->url || !a->name))
			return "a machine that should run has no address yet";
	}
	return me ? NULL : "this machine is not in it";
}

/* A provider that was asked for a machine by id and does not know it may be the wrong one to ask
 * (another region, another account), unless it knows a majority of the others. */
static bool forgotten(const struct view *v, const char *name)
{
	return *name && seen_holds(&v->inventory.forgotten, name) &&
	       seen_known_voters(v) >= seen_majority(seen_voters(v->roster));
}

/* Whether a machine of this name that the list does not hold is no more. */
static bool absence_counts(const struct view *v, const char *name)
{
	return (v->inventory.exhaustive || forgotten(v, name)) && !seen_incomplete(v) &&
	       seen_settled(v);
}

const char *seen_alive(const struct view *v, const char *name, const struct texts *urls)
{
	const struct inventory *in = &v->inventory;
	bool listed = false, placed = false;

	if (!in->given)
		return in->why;
	for (size_t i = 0; i < in->n; i++) {
		const struct instance *a = &in->at[i];
		bool named = *name && a->name && !strcmp(a->name, name);
		if (named && a->state != DEAD)
			return "the provider lists its machine, and not as terminated";
		listed = listed || named;
		placed = placed || lives_at(a, urls);
	}
	if (listed)
		return NULL;
	for (size_t i = 0; i < in->n; i++)
		if (in->at[i].state != DEAD && lives_at(&in->at[i], urls))
			return "a machine that is not terminated has its address";
	if (!*name && placed && seen_settled(v))
		return NULL;
	if (!absence_counts(v, name))
		return "the provider's list is not a settled and exhaustive one, so that absence "
		       "says nothing";
	return NULL;
}

const char *seen_asked_as(const struct view *v, const struct founder *f)
{
	const struct inventory *in = &v->inventory;
	const char *name = NULL;

	for (size_t i = 0; in->given && i < in->n; i++) {
		const struct instance *a = &in->at[i];
		if (a->name && !strcmp(a->name, f->name))
			return f->name;
		if (a->state == DEAD || !lives_at(a, &f->urls))
			continue;
		if (name)
			return f->name;
		name = a->name;
	}
	return name && absence_counts(v, f->name) ? name : f->name;
}

const struct heard *seen_heard(const struct view *v, const char *name)
{
	for (size_t i = 0; i < v->roll_call.n; i++)
		if (!strcmp(v->roll_call.at[i].name, name))
			return &v->roll_call.at[i];
	return NULL;
}
