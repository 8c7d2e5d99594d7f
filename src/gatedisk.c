/* gatedisk.c - the rules about this machine's own disk: amnesia, data-dir. */
#include "gate.h"

#include <string.h>

static bool empty_start(const struct view *v, const struct plan *p)
{
	return p->action == START && (v->data.state == DATA_EMPTY || v->data.state == DATA_HIDDEN);
}

static bool asked_to_remove(const struct view *v, uint64_t cluster, uint64_t member)
{
	for (size_t i = 0; i < v->nasked; i++)
		if (v->asked_remove[i].cluster == cluster && v->asked_remove[i].member == member)
			return true;
	return false;
}

static const struct member *mine_in(const struct view *v, const struct members *list, bool named)
{
	for (size_t i = 0; i < list->n; i++)
		if (seen_at_mine(v, &list->at[i]))
			return &list->at[i];
	for (size_t i = 0; named && i < list->n; i++)
		if (seen_mine(v, &list->at[i]))
			return &list->at[i];
	return NULL;
}

/* The slot that an etcd without data, or with data that cannot be seen, would take here. */
const struct member *rule_slot(const struct view *v, uint64_t *cluster)
{
	bool hidden = v->data.state == DATA_HIDDEN;

	*cluster = v->u;
	if (v->nquorum)
		return mine_in(v, v->roster, hidden);
	for (size_t i = 0; i < v->nprobes; i++) {
		const struct probe *q = &v->probes[i];
		if (q->verdict != NO_QUORUM && !(hidden && q->verdict == FOUNDING))
			continue;
		const struct member *m = mine_in(v, &q->list, hidden);
		*cluster = q->cluster;
		if (m && (hidden || (!m->learner && !m->started)))
			return m;
	}
	return NULL;
}

static bool added_here(const struct view *v, uint64_t id)
{
	for (size_t i = 0; i < v->nadded; i++)
		if (v->added[i] == id)
			return true;
	return false;
}

bool rule_amnesia(const struct view *v, const struct plan *p, struct why *why)
{
	uint64_t cluster;
	const struct claim *c = &v->data.claim;

	if (!empty_start(v, p))
		return true;
	const struct member *m = rule_slot(v, &cluster);
	if (!m)
		return true;
	if (v->data.state == DATA_HIDDEN) {
		if (m->started || added_here(v, m->id))
			return true;
	} else if (c->given && c->cluster == cluster && c->member == m->id && !m->started) {
		return true;
	}
	return rule_no(why,
	    "nothing on this disk says that it never ran as member %" PRIx64 " of cluster "
	    "%" PRIx64 ", so it may have lost what that member had promised; remove that member "
	    "and add this machine anew",
	    m->id, cluster);
}

/* Where an etcd answers as the member that this disk is of, while none runs here: one of two disks
 * is a copy of the other, and what both vote on is voted twice. */
static const char *twin(const struct view *v)
{
	for (size_t i = 0; !v->me.running && i < v->nprobes; i++) {
		const struct probe *p = &v->probes[i];
		if (p->verdict >= FOUNDING && p->cluster == v->data.cluster && p->member &&
		    p->member == v->data.member)
			return p->url;
	}
	return NULL;
}

static bool runs_on_data(const struct view *v, struct why *why)
{
	const char *url = twin(v);

	if (url)
		return rule_no(why,
		    "an etcd at %s answers as member %" PRIx64 " of cluster %" PRIx64 ", which the "
		    "data here is of: one disk is a copy of the other; move the copy away by hand",
		    url, v->data.member, v->data.cluster);
	if (v->me.running && v->me.member &&
	    (v->me.cluster != v->data.cluster || v->me.member != v->data.member))
		return rule_no(why,
		    "an etcd runs here as member %" PRIx64 " of cluster %" PRIx64 ", which is not "
		    "what the data directory holds; stop it",
		    v->me.member, v->me.cluster);
	return true;
}

static bool start_with_data(const struct view *v, struct why *why)
{
	size_t lists;

	if (!runs_on_data(v, why))
		return false;
	if (!v->u)
		return true;
	if (v->u == v->data.cluster) {
		if (!seen_listings(v, v->data.member, &lists) && seen_strong(v))
			return rule_no(why,
			    "member %" PRIx64 " was removed from cluster %" PRIx64
			    "; its data must be "
			    "moved aside before this machine joins again",
			    v->data.member, v->u);
		return true;
	}
	for (size_t i = 0; i < v->nown; i++)
		if (v->own_clusters[i] == v->data.cluster)
			return true;
	return rule_no(why,
	    "the data here is of cluster %" PRIx64 " and the cluster that answers is %" PRIx64
	    "; move the data away by hand if it came with a foreign volume",
	    v->data.cluster, v->u);
}

static bool start_without_data(const struct view *v, struct why *why)
{
	uint64_t cluster;
	size_t lists = 0;
	const struct member *m = rule_slot(v, &cluster);

	if (v->me.running && (v->data.state == DATA_EMPTY || !m || v->me.member != m->id))
		return rule_no(why,
		    "an etcd runs here already, without data in this directory; stop it, or "
		    "correct the data directory's path");
	if (!m)
		return rule_no(why,
		    "the data directory is empty and no cluster lists this machine's address; "
		    "it must be added first");
	if (v->u && (seen_listings(v, m->id, &lists) < lists))
		return rule_no(why, "not every member lists %" PRIx64 "; look again", m->id);
	if (asked_to_remove(v, cluster, m->id))
		return rule_no(why,
		    "this machine asked to remove member %" PRIx64 ", which may still happen; it "
		    "must be added anew",
		    m->id);
	return true;
}

static bool disk_starts(const struct view *v, struct why *why)
{
	switch (v->data.state) {
	case DATA_MEMBER:
		return start_with_data(v, why);
	case DATA_EMPTY:
	case DATA_HIDDEN:
		return start_without_data(v, why);
	default:
		return rule_no(why,
		    "the data directory is damaged or cannot be read (%s); repair it, or move it "
		    "away by hand",
		    v->data.why);
	}
}

static bool disk_founds(const struct view *v, const struct plan *p, struct why *why)
{
	const struct claim *c = &v->data.claim;

	if (v->data.state == DATA_HIDDEN && p->action == NEW && v->found_refused)
		return true;
	if (v->data.state != DATA_EMPTY)
		return rule_no(why,
		    "the data directory is not known to be empty%s%s; a cluster is founded on "
		    "empty disks only",
		    *v->data.why ? ": " : "", v->data.why);
	if (v->me.running)
		return rule_no(why, "an etcd runs here already; stop it");
	if (p->action == CLAIM || (p->reserve && v->found_refused))
		return v->founding.given
			   ? true
			   : rule_no(why, "there is no list to claim; see to the provider");
	if (!c->given || !c->founding || !c->list.n)
		return rule_no(
		    why, "no claim lies on this disk yet; it must be written before etcd starts");
	if (!seen_resumes(v) && c->cluster != v->founding.cluster)
		return rule_no(why,
		    "the claim on this disk is for %" PRIx64 " and the list makes %" PRIx64
		    "; claim "
		    "again first",
		    c->cluster, v->founding.cluster);
	return true;
}

/* Whether this founder, as asked in this run, is empty and not promised to cluster c. */
static bool elsewhere(const struct view *v, const struct founder *f, uint64_t c)
{
	const char *name = seen_asked_as(v, f);
	const struct heard *h = seen_heard(v, name);
	bool said = false;

	if (!seen_alive(v, f->name, &f->urls))
		return true;
	if (h && h->last) {
		if (!h->last->empty || h->last->claim == c)
			return false;
		said = true;
	}
	for (size_t i = 0; i < v->nprobes; i++) {
		const struct probe *q = &v->probes[i];
		if (!f->urls.n || !seen_same_place(q->url, f->urls.at[0]) || q->verdict < WAITING)
			continue;
		if (q->verdict > WAITING || !q->answer || !q->answer->empty ||
		    q->answer->claim == c)
			return false;
		said = said || !strcmp(q->answer->name, name);
	}
	return said;
}

static bool cannot_finish(const struct view *v, struct why *why)
{
	const struct founders *list = &v->data.founders;
	size_t lost = 0, need = list->n - seen_majority(list->n) + 1;

	for (size_t i = 0; i < list->n; i++)
		lost +=
		    !seen_myself(v, &list->at[i]) && elsewhere(v, &list->at[i], v->data.cluster);
	if (!v->data.unused || !list->n || lost < need)
		return rule_no(why,
		    "the founding %" PRIx64
		    " may still finish: %zu of its machines are known to be "
		    "gone or promised elsewhere, %zu are needed; start etcd on this data",
		    v->data.cluster, lost, need);
	return true;
}

static bool disk_obsolete(const struct view *v, struct why *why)
{
	size_t lists;

	if (v->data.state != DATA_MEMBER)
		return rule_no(why, "there is no readable member data to move aside");
	if (v->me.running || v->data.locked)
		return rule_no(why, "an etcd is using the data; stop it and read the data again");
	if (v->nquorum == 2)
		return rule_no(why,
		    "two clusters have quorum at once, %" PRIx64 " and %" PRIx64 "; stop the one "
		    "that should not be, by hand",
		    v->ids[0], v->ids[1]);
	if (!v->nquorum)
		return cannot_finish(v, why);
	if (v->u != v->data.cluster)
		return v->data.unused ? true
				      : rule_no(why,
					    "the data of cluster %" PRIx64
					    " has been used and cluster %" PRIx64
					    " answers; a person must decide which is right",
					    v->data.cluster, v->u);
	if (seen_listings(v, v->data.member, &lists) || !lists || !seen_strong(v))
		return rule_no(why,
		    "it takes a majority of cluster %" PRIx64
		    ", this machine left out, to say that "
		    "member %" PRIx64 " is no longer listed; start etcd on this data",
		    v->u, v->data.member);
	return true;
}

/* etcd before 3.5.31 and 3.6.12 makes a voter of a learner that is updated. */
static bool address_mine(const struct view *v, const struct plan *p, struct why *why)
{
	const struct member *m = seen_member(v->roster, p->member);

	if (v->data.state != DATA_MEMBER || v->data.cluster != v->u ||
	    v->data.member != p->member || !m)
		return rule_no(why,
		    "member %" PRIx64 " is not what this machine's data says it is, so its address "
		    "is not this machine's to change",
		    p->member);
	if (m->learner)
		return rule_no(why,
		    "member %" PRIx64 " is a learner, and an update would lose that; remove it and "
		    "add it anew",
		    p->member);
	return runs_on_data(v, why);
}

/* Who leaves is who this disk is; where that cannot be seen, who answers on my own ports. */
static bool leaves_itself(const struct view *v, const struct plan *p, struct why *why)
{
	const struct member *m = seen_member(v->roster, p->member);
	bool seen = v->data.state == DATA_MEMBER;
	bool hidden = v->data.state == DATA_HIDDEN && v->me.running;
	uint64_t cluster = seen ? v->data.cluster : v->me.cluster;
	size_t lists;

	if (!m || (!seen && !hidden) || cluster != v->u ||
	    (seen ? v->data.member : v->me.member) != m->id)
		return rule_no(why,
		    "member %" PRIx64 " is not what this machine's data, or the etcd that runs "
		    "here, says it is; remove another's member by hand",
		    p->member);
	if (seen && !runs_on_data(v, why))
		return false;
	if (seen_listings(v, m->id, &lists) < lists)
		return rule_no(why, "not every member lists %" PRIx64 "; look again", m->id);
	if (!m->learner && seen_voters(v->roster) == 1)
		return rule_no(why,
		    "member %" PRIx64 " is the only voter, and its data all that there is of "
		    "cluster %" PRIx64 "; add another first, or stop etcd and keep the data",
		    m->id, v->u);
	return true;
}

bool rule_data_dir(const struct view *v, const struct plan *p, struct why *why)
{
	switch ((int)p->action) {
	case START:
		return disk_starts(v, why);
	case ASIDE:
		return disk_obsolete(v, why);
	case UPDATE:
		return address_mine(v, p, why);
	case LEAVE:
		return leaves_itself(v, p, why);
	default:
		return disk_founds(v, p, why);
	}
}
