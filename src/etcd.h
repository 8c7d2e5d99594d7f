/* etcd.h - what the files of core.etcd share: reading etcd's bodies, and ids. */
#ifndef EB_ETCD_H
#define EB_ETCD_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ETCD_ID 21 /* room of a decimal id */

struct etcd_status {
	char cluster_id[ETCD_ID], member_id[ETCD_ID], leader[ETCD_ID]; /* "" when not said */
	char version[32];
	lua_Integer applied; /* -1 when not said */
	bool learner;
};

enum etcd_form { ETCD_PEER, ETCD_GATEWAY, ETCD_V2 };

/* The readers take one body.  true: what was read is in the out arguments or on the stack.
 * false: what is wrong with it stands in why[n] and nothing was pushed.  They raise only when out
 * of memory. */

/* Push Member[]; the ids of who answered into *who, where the form has them. */
bool etcd_read_members(lua_State *L, enum etcd_form form, const char *body, size_t length,
    struct etcd_status *who, char *why, size_t n);
/* healthy: what it says; its reason, if any, in why. */
bool etcd_read_health(
    lua_State *L, const char *body, size_t length, bool *healthy, char *why, size_t n);
bool etcd_read_status(
    lua_State *L, const char *body, size_t length, struct etcd_status *status, char *why, size_t n);
/* Both versions, "" when not said. */
bool etcd_read_version(lua_State *L, const char *body, size_t length, char server[32],
    char cluster[32], char *why, size_t n);
/* The id out of /v2/stats/self. */
bool etcd_read_self(
    lua_State *L, const char *body, size_t length, char id[ETCD_ID], char *why, size_t n);
/* Push Answer. */
bool etcd_read_answer(lua_State *L, const char *body, size_t length, char *why, size_t n);
/* The message of an error body, else its first words, printable. */
void etcd_read_error(lua_State *L, const char *body, size_t length, char *message, size_t n);

/* Text of n digits in base 10 or 16 as a decimal id; false for zero, other bytes, 65 bits. */
bool etcd_id(const char *text, size_t n, int base, char id[ETCD_ID]);

/* Entry points in etcdids.c. */
int etcd_founded(lua_State *L);
int etcd_identify(lua_State *L);
int etcd_hex(lua_State *L);
int etcd_decimal(lua_State *L);

#endif
