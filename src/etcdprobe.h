/* etcdprobe.h - one probing of many addresses, as etcd.c runs it, etcdline.c talks and
 * etcdverdict.c judges.
 */
#ifndef EB_ETCDPROBE_H
#define EB_ETCDPROBE_H

#include "etcd.h"
#include "http.h"
#include "loop.h"

#define ETCD_URL 512 /* room of a canonical one */

/* Where things stand on the stack of the waiting coroutine. */
enum { OPTIONS = 1, RESULTS, PEER_LISTS, CLIENT_LISTS, ASKED, OPERATION };

enum kind { PROBE, LISTS, ASK };

enum question {
	MEMBERS,
	VERSIONS,
	BOOTSTRAP,
	HEALTH,
	LIST_V3,
	LIST_V3BETA,
	LIST_V3ALPHA,
	LIST_V2,
	STATUS,
	SELF
};

enum outcome { ASKING, FINE, REFUSED, SILENT, UNHEALTHY, FAILED };

struct line {
	struct transfer transfer;
	struct target *target;
	struct line *next; /* in the queue of the answered */
	const char *base;  /* of the port */
	enum question question;
	enum outcome outcome;
	bool queued;
	const char *code;
	char why[400];
};

struct target {
	struct target *next;
	struct probing *op;
	lua_Integer index;                             /* in RESULTS and the lists */
	char peer_url[ETCD_URL], client_url[ETCD_URL]; /* canonical; the second may be empty */
	struct line peer, client;
	double sent, at;
	bool begun, settled;
	/* what was seen */
	bool peer_listed, listed, healthy, learner, decided, undecided, waiting, login;
	char peer_cluster[ETCD_ID], peer_member[ETCD_ID];
	struct etcd_status status;             /* of the client port */
	char version[32], cluster_version[32]; /* of the peer port */
	const char *api;
};

struct probing {
	struct op op;
	enum kind kind;
	struct tls tls, peer_tls;
	const char *authorization; /* the header line for client ports, or NULL */
	double connect_timeout, timeout;
	bool learn;
	int learnt;
	size_t open, flying;                      /* targets not settled; of these begun */
	struct target *targets, **tail, *waiting; /* all; the end; the first not begun */
	struct line *answered, **last;
};

/* etcdline.c */
/* Ask the next question on a line; the first one begins its transfer. */
void etcd_send(struct line *l, enum question question);
/* Read the answer to the question, or why there is none, and ask on where there is more to ask. */
void etcd_answered(lua_State *L, struct line *l);
void etcd_hang_up(struct line *l, enum outcome outcome);
/* Hang up for a reason. */
void etcd_give_up(struct line *l, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* etcdverdict.c */
/* Fill in the result on top of the stack. */
void etcd_report(lua_State *L, struct target *t);

/* etcd.c */
/* Add every member of the list on top at a peer URL that nobody has asked yet. */
void etcd_learn(lua_State *L, struct probing *p);
/* Push the member of lists[t] with that id, or, without an id, at the target's peer URL. */
bool etcd_push_member(lua_State *L, const struct target *t, int lists, const char *id);

#endif
