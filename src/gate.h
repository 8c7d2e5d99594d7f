/* gate.h - what the gate sees: private to the files gate*.c.
 *
 * A view is a reading of the facts without opinions: strings are borrowed from the Lua tables (or
 * from copies in the view's anchor), an id that was not given is 0, a missing thing is unknown.
 */
#ifndef EB_GATE_H
#define EB_GATE_H

#include <inttypes.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

struct texts {
	const char **at;
	size_t n;
};

struct member {
	uint64_t id;
	const char *name; /* "" before its first start */
	struct texts urls;
	bool learner, started;
};

struct members {
	struct member *at;
	size_t n;
};

struct founder {
	const char *name;
	struct texts urls;
};

struct founders {
	struct founder *at;
	size_t n;
};

struct answer { /* of the roll call */
	const char *name;
	bool empty, ready;
	uint64_t cluster, claim;
	struct texts counts;
};

enum verdict { UNKNOWN, REFUSED, WAITING, FOUNDING, NO_QUORUM, LEARNER, QUORUM };

struct probe {
	const char *key, *url, *version, *cluster_version;
	enum verdict verdict;
	uint64_t cluster, member;
	lua_Integer applied;
	struct members list;
	struct answer *answer;
};

enum state { ODD, BOOTING, LIVE, LEAVING, DEAD };

struct instance {
	const char *id, *name, *url; /* name: of the member that it would be; both may be NULL */
	struct texts addresses;
	enum state state;
};

struct inventory {
	bool given, complete, exhaustive;
	struct texts forgotten; /* asked for by id, and not known any more */
	const char *self, *why;
	double lag, read, same_since;
	struct instance *at;
	size_t n;
};

struct heard {
	const char *name;
	struct answer *empty, *last, *proof;
	double proof_sent;
};

struct claim {
	bool given, founding;
	uint64_t cluster, member;
	struct founders list;
};

enum data { DATA_UNKNOWN, DATA_EMPTY, DATA_MEMBER, DATA_DAMAGED, DATA_HIDDEN };

struct removal {
	uint64_t cluster, member;
};

struct since {
	uint64_t member;
	double at;
};

struct view {
	double now, clock;
	struct {
		const char *id, *name, *version;
		struct texts urls;
		bool running;
		uint64_t cluster, member; /* of the etcd that runs here */
	} me;
	struct inventory inventory;
	struct probe *probes;
	size_t nprobes;
	struct {
		enum data state;
		const char *why;
		uint64_t cluster, member;
		bool unused, locked;
		struct founders founders;
		struct claim claim;
	} data;
	struct {
		bool given;
		uint64_t cluster, member;
		struct founders list;
	} founding;
	struct {
		bool configured, given, confirmed;
		const char *unknown; /* why it could not be read */
		uint64_t cluster;
		struct founders list;
	} marker;
	struct {
		uint64_t cluster;
		bool withdrawn;
		double withdrawn_at;
		struct heard *at;
		size_t n;
	} roll_call;
	struct removal *asked_remove;
	size_t nasked;
	uint64_t *own_clusters; /* that this machine has been started for */
	size_t nown;
	struct since *pending; /* unstarted members, seen since */
	size_t npending;
	uint64_t *added; /* answers to additions of this run */
	size_t nadded;
	bool found_refused, refused, has_desired, changed, paused;
	double refused_since;
	lua_Integer desired;
	bool roll_call_waived;

	/* what follows from the above, see gateseen.c */
	uint64_t u;                   /* the one cluster id with quorum, 0 where none or two */
	size_t nquorum;               /* ids with quorum */
	uint64_t ids[2];              /* the first two of them */
	const struct members *roster; /* of the witness of u that has applied most */
};

/* gateview.c: read the facts at index 1 of an otherwise disposable stack; raises on a caller's
 * bug.  What the view borrows is kept by the facts and by the table at index `anchor`. */
void view_read(lua_State *L, struct view *v, int anchor);
bool view_id(const char *s, uint64_t *id);

/* gateseen.c */
void seen_clusters(struct view *v);
bool seen_same_place(const char *url, const char *other);
const struct member *seen_member(const struct members *list, uint64_t id);
const struct instance *seen_named(const struct view *v, const char *name);
/* How many of the lists of u's quorum witnesses hold the member, and how many lists there are. */
size_t seen_listings(const struct view *v, uint64_t id, size_t *lists);
bool seen_answers(const struct view *v, const struct member *m);
bool seen_silent(const struct view *v, const struct member *m);
bool seen_as(const struct view *v, const struct member *m, enum verdict verdict);
bool seen_known(const struct view *v, const struct member *m);
/* How many of u's voters the provider's list knows, in any state. */
size_t seen_known_voters(const struct view *v);
bool seen_mine(const struct view *v, const struct member *m);
bool seen_at_mine(const struct view *v, const struct member *m);
bool seen_strong(const struct view *v);
bool seen_settled(const struct view *v);
bool seen_fresh(const struct view *v);
/* NULL when complete, else what is missing. */
const char *seen_incomplete(const struct view *v);
/* NULL when the machine of this name and address is dead, else why that is not proven. */
const char *seen_alive(const struct view *v, const char *name, const struct texts *urls);
const struct heard *seen_heard(const struct view *v, const char *name);
/* The name of the machine that speaks for a founder: its own, or, when the list proves that no
 * machine has that name any more, of the one at its address. It is the same one, or came after. */
const char *seen_asked_as(const struct view *v, const struct founder *f);
/* The list of a founding or quorumless etcd of this cluster that holds this member. */
const struct member *seen_without_quorum(
    const struct view *v, uint64_t cluster, uint64_t id, bool founding_too);
bool seen_resumes(const struct view *v);
bool seen_myself(const struct view *v, const struct founder *f);
/* What a person calls it: its name, else its address. */
const char *seen_name(const struct member *m);
size_t seen_voters(const struct members *list);
size_t seen_votes(const struct view *v, const struct members *list, uint64_t except);
size_t seen_majority(size_t n);
bool seen_holds(const struct texts *t, const char *s);

enum action {
	CLAIM = 1 << 0,
	NEW = 1 << 1,
	ADD = 1 << 2,
	REMOVE = 1 << 3,
	PROMOTE = 1 << 4,
	UPDATE = 1 << 5,
	ASIDE = 1 << 6,
	START = 1 << 7,
	STANDBY = 1 << 8,
	WAIT = 1 << 9,
	FAIL = 1 << 10,
	LEAVE = 1 << 11, /* this machine's own member goes, by a person's wish and no policy's */
	CHANGES = ADD | REMOVE | PROMOTE | UPDATE | LEAVE,
};

struct plan {
	enum action action;
	uint64_t member;
	bool learner, reserve; /* reserve: of NEW, its marker alone */
};

struct why {
	char text[1024];
};

/* gaterules.c, gatefound.c, gatedisk.c, gatemember.c: the rules.  Each is a pure function of view
 * and plan: true, or false and why, a sentence that says what was seen and what to do next. */
bool rule_paused(const struct view *v, const struct plan *p, struct why *why);
bool rule_version(const struct view *v, const struct plan *p, struct why *why);
bool rule_one_at_a_time(const struct view *v, const struct plan *p, struct why *why);
bool rule_rivals(const struct view *v, const struct plan *p, struct why *why);
bool rule_incomplete_list(const struct view *v, const struct plan *p, struct why *why);
bool rule_desired_size(const struct view *v, const struct plan *p, struct why *why);
bool rule_leaving(const struct view *v, const struct plan *p, struct why *why);
bool rule_roll_call(const struct view *v, const struct plan *p, struct why *why);
bool rule_claim(const struct view *v, const struct plan *p, struct why *why);
bool rule_marker(const struct view *v, const struct plan *p, struct why *why);
bool rule_amnesia(const struct view *v, const struct plan *p, struct why *why);
bool rule_data_dir(const struct view *v, const struct plan *p, struct why *why);
bool rule_not_proven_dead(const struct view *v, const struct plan *p, struct why *why);
bool rule_quorum_after(const struct view *v, const struct plan *p, struct why *why);
bool rule_pending(const struct view *v, const struct plan *p, struct why *why);
/* A rule's no: keeps the sentence and returns false. */
bool rule_no(struct why *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* gatedisk.c: the slot that an etcd without data, or with data that cannot be seen, would take. */
const struct member *rule_slot(const struct view *v, uint64_t *cluster);

#endif
