/* gatemember.c - the rules about the cluster's members: not-proven-dead, quorum-after, pending. */
#include "gate.h"

#include <string.h>

/* The name that a slot of mine bears must not be a living machine's. */
static bool name_free(const struct view *v, const struct member *m)
{
	if (!*m->name || (v->me.name && !strcmp(m->name, v->me.name)))
		return true;
	const struct instance *in = seen_named(v, m->name);
	static const struct texts nowhere;
	return in ? in->state == DEAD && !seen_alive(v, m->name, &nowhere)
		  : !seen_alive(v, m->name, &nowhere);
}

/* A slot that bears my name, or my claim's id, at an address that another listed machine has. */
static bool others_address(const struct view *v, const struct member *m)
{
	for (size_t i = 0; i < v->inventory.n; i++) {
		const struct instance *in = &v->inventory.at[i];
		if (in->state != DEAD && in->url && m->urls.n &&
		    strcmp(in->id, v->me.id ? v->me.id : "") != 0 &&
		    seen_same_place(in->url, m->urls.at[0]))
			return true;
	}
	return false;
}

static bool own_slot(const struct view *v, const struct member *m)
{
	if (v->data.state == DATA_MEMBER)
		return v->data.cluster == v->u && v->data.member == m->id && m->learner &&
		       !v->me.running && !seen_at_mine(v, m) && !seen_answers(v, m);
	if (v->data.state != DATA_EMPTY && (v->data.state != DATA_HIDDEN || m->started))
		return false;
	if (!seen_mine(v, m) || v->me.running || !seen_strong(v) || !name_free(v, m))
		return false;
	return seen_at_mine(v, m) ? !seen_answers(v, m)
				  : seen_silent(v, m) && !others_address(v, m);
}

static bool idle_learner(const struct view *v, const struct member *m)
{
	for (size_t i = 0; i < v->npending; i++)
		if (v->pending[i].member == m->id)
			return m->learner && !m->started && seen_silent(v, m) &&
			       v->now - v->pending[i].at >= 900;
	return false;
}

bool rule_not_proven_dead(const struct view *v, const struct plan *p, struct why *why)
{
	const struct member *m = seen_member(v->roster, p->member);
	size_t lists;

	if (!m)
		return rule_no(why, "no cluster with quorum lists a member %" PRIx64 "; look again",
		    p->member);
	if (seen_listings(v, m->id, &lists) < lists)
		return rule_no(why, "not every member lists %" PRIx64 " (%s); look again", m->id,
		    seen_name(m));
	if (own_slot(v, m) || idle_learner(v, m))
		return true;
	const char *alive = seen_alive(v, m->name, &m->urls);
	if (alive)
		return rule_no(why,
		    "member %" PRIx64 " (%s) is not proven dead: %s; wait for the provider, or "
		    "remove the member by hand",
		    m->id, seen_name(m), alive);
	if (!seen_silent(v, m))
		return rule_no(why,
		    "member %" PRIx64 " (%s) is called dead by the provider and answers, or was "
		    "not asked; check what the provider selects",
		    m->id, seen_name(m));
	return true;
}

/* By every witness's list, so that one that lags cannot make the majority look smaller. */
bool rule_quorum_after(const struct view *v, const struct plan *p, struct why *why)
{
	if (!v->u || !v->roster->n)
		return rule_no(
		    why, "no cluster with quorum answers; bring a majority of its members back");
	for (size_t i = 0; i < v->nprobes; i++) {
		const struct members *list = &v->probes[i].list;
		const struct member *m = seen_member(list, p->member);
		if (v->probes[i].verdict != QUORUM || v->probes[i].cluster != v->u || !list->n)
			continue;
		if (p->action == PROMOTE && (!m || !m->learner))
			return rule_no(why, "%s lists no learner %" PRIx64 "; look again",
			    v->probes[i].key, p->member);
		size_t after = seen_voters(list), up = seen_votes(v, list, p->member);
		after -= p->action & (REMOVE | LEAVE) && m && !m->learner;
		after += p->action == PROMOTE || (p->action == ADD && !p->learner);
		up += p->action == PROMOTE && seen_as(v, m, LEARNER);
		if (up < seen_majority(after))
			return rule_no(why,
			    "%zu voter%s of cluster %" PRIx64
			    " would be up of %zu after it, and %zu are "
			    "needed; bring voters back first%s",
			    up, up == 1 ? "" : "s", v->u, after, seen_majority(after),
			    p->action == ADD ? ", or add a learner" : "");
	}
	return true;
}

bool rule_pending(const struct view *v, const struct plan *p, struct why *why)
{
	for (size_t i = 0; i < v->nprobes; i++) {
		const struct members *list = &v->probes[i].list;
		if (v->probes[i].verdict != QUORUM || v->probes[i].cluster != v->u)
			continue;
		for (size_t j = 0; j < list->n; j++) {
			const struct member *m = &list->at[j];
			if (m->id != p->member && (!m->started || m->learner))
				return rule_no(why, "member %" PRIx64 " (%s) %s; it goes first",
				    m->id, seen_name(m),
				    m->learner ? "is a learner still"
					       : "was added and has not started yet");
		}
	}
	return true;
}
