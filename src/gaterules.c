/* gaterules.c - the rules that look at the moment rather than at a machine: paused, version,
 * one-at-a-time, rivals.
 */
#include "gate.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

bool rule_no(struct why *why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why->text, sizeof why->text, fmt, ap);
	va_end(ap);
	return false;
}

bool rule_paused(const struct view *v, const struct plan *p, struct why *why)
{
	(void)p;
	if (v->paused)
		return rule_no(why,
		    "the file pause in the state directory holds every change back; remove it "
		    "to go on");
	return true;
}

struct version {
	int major, minor;
};

/* The number that s begins with, and what follows it; NULL when there is none. */
static const char *read_number(const char *s, int *number)
{
	char *end;
	long value = strtol(s, &end, 10);

	*number = (int)value;
	return end > s && value >= 0 && value <= 9999 ? end : NULL;
}

static bool parse_version(const char *s, struct version *w)
{
	const char *dot = s ? read_number(s, &w->major) : NULL;

	return dot && *dot == '.' && read_number(dot + 1, &w->minor);
}

static int compare(const struct version *a, const struct version *b)
{
	return a->major != b->major ? a->major - b->major : a->minor - b->minor;
}

/* The highest version that a member with quorum calls the cluster's.  A young cluster says 3.0
 * until it has settled on its members' own. */
static bool cluster_version(const struct view *v, struct version *best)
{
	static const struct version oldest = { 3, 0 };
	bool known = false;
	struct version w, own;

	for (size_t i = 0; i < v->nprobes; i++) {
		const struct probe *q = &v->probes[i];
		if (q->verdict != QUORUM || q->cluster != v->u ||
		    !parse_version(q->cluster_version, &w))
			continue;
		if (!compare(&w, &oldest) && parse_version(q->version, &own) &&
		    compare(&own, &w) > 0)
			continue;
		if (!known || compare(&w, best) > 0)
			*best = w;
		known = true;
	}
	return known;
}

bool rule_version(const struct view *v, const struct plan *p, struct why *why)
{
	static const struct version learners = { 3, 4 };
	struct version own, theirs = { 0 };

	if (!v->u || (v->data.state == DATA_MEMBER && v->data.cluster != v->u) ||
	    !cluster_version(v, &theirs))
		return true;
	if (p->action == START && v->me.running) /* it is what it is, and nothing is started */
		return true;
	if (p->action == ADD && p->learner && compare(&theirs, &learners) < 0)
		return rule_no(why,
		    "cluster %" PRIx64 " is of version %d.%d, which knows no learners; add a "
		    "voter, or upgrade the cluster",
		    v->u, theirs.major, theirs.minor);
	if (p->action == PROMOTE || !parse_version(v->me.version, &own))
		return true;
	if (own.major != theirs.major || own.minor < theirs.minor || own.minor > theirs.minor + 1)
		return rule_no(why,
		    "etcd here is %s and cluster %" PRIx64 " is of version %d.%d; install etcd "
		    "%d.%d or the minor version after it",
		    v->me.version, v->u, theirs.major, theirs.minor, theirs.major, theirs.minor);
	return true;
}

bool rule_one_at_a_time(const struct view *v, const struct plan *p, struct why *why)
{
	(void)p;
	if (v->changed)
		return rule_no(why,
		    "a membership change was made in this turn already; the next turn looks "
		    "again first");
	return true;
}

bool rule_rivals(const struct view *v, const struct plan *p, struct why *why)
{
	(void)p;
	if (v->nquorum == 2)
		return rule_no(why,
		    "two clusters have quorum at once, %" PRIx64 " and %" PRIx64 "; stop the one "
		    "that should not be, by hand",
		    v->ids[0], v->ids[1]);
	for (size_t i = 0; v->nquorum && i < v->nprobes; i++) {
		const struct probe *q = &v->probes[i];
		if (q->verdict == NO_QUORUM && q->cluster != v->ids[0])
			return rule_no(why,
			    "%s belongs to cluster %" PRIx64
			    " without quorum, beside cluster %" PRIx64
			    " with quorum; stop the etcd that should not be, by hand",
			    q->key, q->cluster, v->ids[0]);
	}
	return true;
}
