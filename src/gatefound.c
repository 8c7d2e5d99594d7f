/* gatefound.c - the rules of founding: incomplete-list (which removals need as well), desired-size,
 * leaving, roll-call, claim, marker.
 */
#include "gate.h"

#include <string.h>

static bool expected(const struct instance *in)
{
	return in->state == BOOTING || in->state == LIVE;
}

static bool in_founding(const struct view *v, const struct instance *in)
{
	for (size_t i = 0; i < v->founding.list.n; i++) {
		const struct founder *f = &v->founding.list.at[i];
		if (!strcmp(f->name, in->name))
			return f->urls.n == 1 && !strcmp(f->urls.at[0], in->url);
	}
	return false;
}

static bool lists_agree(const struct view *v, struct why *why)
{
	const struct inventory *in = &v->inventory;
	size_t n = 0;

	if (!v->founding.given || !v->founding.cluster)
		return rule_no(
		    why, "no founding list could be made of the provider's list; look again");
	for (size_t i = 0; i < in->n; i++) {
		if (!expected(&in->at[i]))
			continue;
		n++;
		if (!in_founding(v, &in->at[i]))
			return rule_no(why,
			    "machine %s is not in the founding list as %s at %s; look again",
			    in->at[i].id, in->at[i].name, in->at[i].url);
		for (size_t j = 0; j < i; j++)
			if (expected(&in->at[j]) && (!strcmp(in->at[i].name, in->at[j].name) ||
							!strcmp(in->at[i].url, in->at[j].url)))
				return rule_no(why,
				    "machines %s and %s have one name or one address; give "
				    "each its own",
				    in->at[i].id, in->at[j].id);
		if (v->me.id && !strcmp(in->at[i].id, v->me.id) &&
		    (!v->me.name || strcmp(in->at[i].name, v->me.name) != 0 ||
			!seen_holds(&v->me.urls, in->at[i].url)))
			return rule_no(why,
			    "the provider's list has this machine as %s at %s, which it is not; "
			    "look again",
			    in->at[i].name, in->at[i].url);
	}
	if (n != v->founding.list.n)
		return rule_no(why,
		    "the founding list has %zu machines and the provider's list %zu; look again",
		    v->founding.list.n, n);
	return true;
}

static bool knows_members(const struct view *v, struct why *why)
{
	size_t known = seen_known_voters(v), voters = seen_voters(v->roster);

	for (size_t i = 0; i < v->roster->n; i++) {
		const struct member *m = &v->roster->at[i];
		if (!seen_known(v, m) && seen_answers(v, m))
			return rule_no(why,
			    "member %" PRIx64
			    " (%s) answers and the provider's list does not know it, "
			    "so that list cannot say who is gone; check what the provider selects",
			    m->id, seen_name(m));
	}
	if (voters && known < seen_majority(voters))
		return rule_no(why,
		    "the provider's list knows %zu of the cluster's %zu voters, so it cannot say "
		    "who is gone; check what the provider selects",
		    known, voters);
	return true;
}

bool rule_incomplete_list(const struct view *v, const struct plan *p, struct why *why)
{
	const struct member *m = seen_member(v->roster, p->member);
	const char *missing = seen_incomplete(v);

	if (p->action == NEW && seen_resumes(v))
		return true;
	if (p->action == REMOVE && m && seen_mine(v, m) &&
	    (!*m->name || (v->me.name && !strcmp(m->name, v->me.name))))
		return true;
	if (missing)
		return rule_no(
		    why, "the provider's list is not complete: %s; see to the provider", missing);
	if (p->action == REMOVE)
		return knows_members(v, why);
	if (!seen_settled(v))
		return rule_no(why,
		    "the provider's list has not been the same for %g seconds yet; wait",
		    v->inventory.lag);
	if (!seen_fresh(v))
		return rule_no(why, "the provider's list is %.0f seconds old; read it again",
		    v->clock - v->inventory.read);
	return lists_agree(v, why);
}

bool rule_desired_size(const struct view *v, const struct plan *p, struct why *why)
{
	lua_Integer n = 0;

	if (p->action == NEW && seen_resumes(v))
		return true;
	for (size_t i = 0; i < v->inventory.n; i++)
		n += expected(&v->inventory.at[i]);
	if (!v->has_desired)
		return rule_no(why,
		    "nobody says how many machines the cluster should have; set size in the "
		    "policy or the desired number at the provider");
	if (n != v->desired)
		return rule_no(why,
		    "%lld machine%s there or booting and %lld %s desired; a cluster is "
		    "founded by exactly as many as are desired",
		    (long long)n, n == 1 ? " is" : "s are", (long long)v->desired,
		    v->desired == 1 ? "is" : "are");
	return true;
}

bool rule_leaving(const struct view *v, const struct plan *p, struct why *why)
{
	if (p->action == NEW && seen_resumes(v))
		return true;
	for (size_t i = 0; i < v->inventory.n; i++) {
		const struct instance *in = &v->inventory.at[i];
		if (in->state == LEAVING || in->state == ODD)
			return rule_no(why,
			    "machine %s is %s and may still hold a cluster's data; wait until the "
			    "provider calls it terminated",
			    in->id, in->state == LEAVING ? "leaving" : "in an unknown state");
	}
	return true;
}

/* An etcd of the very founding, without quorum so far, in which this machine never started. */
static bool has_begun(const struct view *v, const struct probe *p)
{
	const struct member *mine = seen_member(&p->list, v->founding.member);

	return p->verdict == FOUNDING && v->founding.given && p->cluster == v->founding.cluster &&
	       (mine ? !mine->started : !p->list.n);
}

static bool refused_long(const struct view *v, const struct founder *f)
{
	bool refused = false;

	if (!v->refused || v->clock - v->refused_since < 30)
		return false;
	for (size_t i = 0; i < v->nprobes; i++) {
		if (!f->urls.n || !seen_same_place(v->probes[i].url, f->urls.at[0]))
			continue;
		if (v->probes[i].verdict != REFUSED && !has_begun(v, &v->probes[i]))
			return false;
		refused = true;
	}
	return refused;
}

static bool all_refused(const struct view *v, struct why *why)
{
	const struct founders *list = &v->founding.list;

	if (!seen_settled(v))
		return rule_no(why, "the provider's list has not settled yet; wait");
	for (size_t i = 0; i < list->n; i++)
		if (!seen_myself(v, &list->at[i]) && !refused_long(v, &list->at[i]))
			return rule_no(why,
			    "%s has not refused connections for 30 seconds; start it, or wait",
			    list->at[i].name);
	return true;
}

static bool marked(const struct view *v)
{
	return v->marker.given && v->founding.given && v->marker.cluster == v->founding.cluster;
}

static bool by_refusals(const struct view *v, const struct plan *p, struct why *why)
{
	if (!all_refused(v, why))
		return false;
	if (marked(v) || p->reserve || v->roll_call_waived)
		return true;
	return rule_no(why,
	    "all others refuse connections, which does not prove that their disks are "
	    "empty; reserve a marker, or say --override roll-call if no machine of this "
	    "cluster ever held data");
}

static bool may_claim(const struct view *v, const struct founder *f)
{
	const struct heard *h = seen_heard(v, f->name);
	const struct answer *a = h ? h->empty : NULL;

	return a && v->roll_call.cluster == v->founding.cluster && a->empty &&
	       !strcmp(a->name, f->name) && a->cluster == v->founding.cluster && v->me.name &&
	       !seen_holds(&a->counts, v->me.name);
}

static bool may_found(const struct view *v, const struct founder *f)
{
	const struct heard *h = seen_heard(v, f->name);
	const struct answer *a = h ? h->last : NULL;

	return a && v->roll_call.cluster == v->founding.cluster && a->empty &&
	       !strcmp(a->name, f->name) && a->cluster == v->founding.cluster &&
	       a->claim == a->cluster && a->ready;
}

bool rule_roll_call(const struct view *v, const struct plan *p, struct why *why)
{
	const struct founders *list = &v->founding.list;
	const struct claim *c = &v->data.claim;

	if (p->action == NEW && seen_resumes(v))
		return true;
	if (v->roll_call_waived && !v->found_refused)
		return true;
	if (v->nquorum)
		return rule_no(why,
		    "cluster %" PRIx64 " has quorum; join it instead of founding another",
		    v->ids[0]);
	if (!v->founding.given)
		return rule_no(
		    why, "nobody can be called without a founding list; see to the provider");
	if (v->found_refused)
		return by_refusals(v, p, why);
	for (size_t i = 0; i < list->n; i++) {
		const struct founder *f = &list->at[i];
		if (seen_myself(v, f))
			continue;
		if (p->action == CLAIM && !may_claim(v, f))
			return rule_no(why,
			    "%s has not answered in this run that its disk is empty and that it "
			    "would found this cluster too; start etcd-bootstrap there",
			    f->name);
		if (p->action == NEW && !may_found(v, f))
			return rule_no(why,
			    "%s did not last answer that it is ready for this very list; start "
			    "etcd-bootstrap there",
			    f->name);
	}
	if (p->action == NEW &&
	    (!c->given || c->cluster != v->founding.cluster || v->roll_call.withdrawn))
		return rule_no(
		    why, "this machine is not ready for this very list itself; claim it first");
	return true;
}

static bool released(const struct view *v, const struct founder *f)
{
	const char *name = seen_asked_as(v, f);
	const struct heard *h = seen_heard(v, name);
	const struct answer *a = h ? h->proof : NULL;

	if (!seen_alive(v, f->name, &f->urls))
		return true;
	return a && v->roll_call.withdrawn && h->proof_sent > v->roll_call.withdrawn_at &&
	       a->empty && !strcmp(a->name, name) && v->me.name &&
	       !seen_holds(&a->counts, v->me.name);
}

bool rule_claim(const struct view *v, const struct plan *p, struct why *why)
{
	const struct claim *c = &v->data.claim;

	(void)p;
	if (!c->given || (c->founding && v->founding.given && c->cluster == v->founding.cluster))
		return true;
	if (!c->founding)
		return rule_no(why,
		    "this disk is promised to cluster %" PRIx64 " as member %" PRIx64
		    "; bring that "
		    "cluster back, or remove the claim by hand if it is gone for good",
		    c->cluster, c->member);
	if (v->found_refused)
		return all_refused(v, why);
	for (size_t i = 0; i < c->list.n; i++)
		if (!seen_myself(v, &c->list.at[i]) && !released(v, &c->list.at[i]))
			return rule_no(why,
			    "this disk is promised to the founding %" PRIx64
			    ", and %s of it is neither "
			    "terminated nor has answered, since this machine withdrew, that it "
			    "does "
			    "not count on it; start etcd-bootstrap there",
			    c->cluster, c->list.at[i].name);
	return c->list.n ? true
			 : rule_no(why, "the claim for %" PRIx64 " names nobody; remove it by hand",
			       c->cluster);
}

static bool listed(const struct view *v, const struct founder *f)
{
	for (size_t i = 0; f->urls.n && i < v->founding.list.n; i++) {
		const struct founder *of = &v->founding.list.at[i];
		if (!strcmp(of->name, f->name))
			return of->urls.n && seen_same_place(of->urls.at[0], f->urls.at[0]);
	}
	return false;
}

/* Whether nobody is left of the founding that the marker is reserved for. */
static bool abandoned(const struct view *v, struct why *why)
{
	const struct founders *list = &v->marker.list;

	for (size_t i = 0; i < list->n; i++) {
		const struct founder *f = &list->at[i];
		const struct founder now = { seen_asked_as(v, f), f->urls };
		if (seen_alive(v, f->name, &f->urls) &&
		    !(listed(v, &now) && (seen_myself(v, &now) || may_found(v, &now))))
			return rule_no(why,
			    "the marker is reserved for the founding %" PRIx64
			    ", and %s of it is neither terminated nor ready for this list; start "
			    "etcd-bootstrap there, or clear the marker if that founding is gone",
			    v->marker.cluster, f->name);
	}
	return list->n ? true : rule_no(why, "the marker names nobody; clear it by hand");
}

bool rule_marker(const struct view *v, const struct plan *p, struct why *why)
{
	bool resumes = seen_resumes(v);
	uint64_t id = resumes ? v->data.claim.cluster : v->founding.cluster;

	if (v->marker.unknown)
		return rule_no(why,
		    "whether a cluster was founded here before is not known: %s; see to the "
		    "marker's storage",
		    v->marker.unknown);
	if (!v->marker.given)
		return !v->marker.configured || p->reserve ||
		       rule_no(why, "the marker is not reserved for cluster %" PRIx64 " yet", id);
	if (v->marker.cluster != id && p->reserve && !v->marker.confirmed && !resumes)
		return abandoned(v, why);
	if (v->marker.cluster != id)
		return rule_no(why,
		    "the marker is for cluster %" PRIx64 " and not for %" PRIx64 "; bring that one "
		    "back, or clear the marker if it is gone for good",
		    v->marker.cluster, id);
	if (v->marker.confirmed && !resumes)
		return rule_no(why,
		    "the marker says that cluster %" PRIx64
		    " had quorum once; restore it, or clear "
		    "the marker if it is gone for good",
		    id);
	return !p->reserve ||
	       rule_no(why, "the marker is reserved for cluster %" PRIx64 " already", id);
}
