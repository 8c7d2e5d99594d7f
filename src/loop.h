/* loop.h - one thread, many coroutines.
 *
 * A task is a Lua coroutine run by the loop.  A task that must wait waits on
 * exactly one op: a timer, a transfer, a child, another task, an event.  When
 * the op is done the task is resumed where it stopped, so Lua reads straight
 * down while many ops are in flight.
 *
 * Ownership: an op is embedded in a userdata held by the waiting coroutine's
 * own stack.  The coroutine keeps its op alive; when the coroutine returns,
 * fails or is cancelled, __close withdraws the op.  Nothing else owns ops.
 *
 * A process has one loop, so no context is passed around.
 */
#ifndef EB_LOOP_H
#define EB_LOOP_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct task;

struct op {
	struct task *waiters; /* tasks asleep on this op */
	bool done;
	int (*push)(
	    lua_State *L, struct op *op); /* push results, return their count; may wait again */
};

/* What other rooms keep alive, for task.pending(): proc.c counts its children, http.c its
 * transfers. */
extern struct loop_alive {
	size_t children, transfers;
} loop_alive;

/* A deadline on the monotonic clock that calls C.  Zeroed is idle. */
struct timer {
	double due;                     /* seconds */
	size_t slot;                    /* index in the heap, 0 when not set */
	void (*fired)(struct timer *t); /* never calls Lua */
};

/* A descriptor that the loop watches.  Zeroed is idle. */
struct watch {
	int fd;
	uint32_t events; /* EPOLLIN | EPOLLOUT as asked for, 0 when not watched */
	void (*ready)(
	    struct watch *w, uint32_t events); /* never calls Lua; EPOLLERR, EPOLLHUP too */
};

/* Wait for op; use as `return loop_wait(L, op);` from a lua_CFunction.  Yields inside a task,
 * turns the loop outside of one. */
int loop_wait(lua_State *L, struct op *op);

/* Mark op done and make its waiters runnable.  Never calls Lua. */
void loop_done(struct op *op);

/* Seconds on the monotonic clock. */
double loop_now(void);

/* Set or move a timer; false when out of memory.  loop_unset on an idle timer does nothing. */
bool loop_set(struct timer *t, double due);
void loop_unset(struct timer *t);

/* Watch fd for events (0: stop watching); false with errno when the system refuses.  Stop before
 * closing fd.  Safe from within any callback: one that was stopped is not called any more. */
bool loop_watch(struct watch *w, int fd, uint32_t events);

/* How many descriptors may still be opened: the limit less those open now. */
size_t loop_spare_files(void);

/* Call reap at the next turn after a SIGCHLD; proc.c is the one caller. */
void loop_on_child(void (*reap)(void));

/* Signals and limits as they were before the loop changed them: for children and exec.
 * loop_catch_again undoes it after an exec that failed. */
void loop_restore_child(void);
void loop_catch_again(void);

/* Run the function and its n arguments on top of L's stack as the first task until it ends;
 * leaves its results, returns LUA_OK or an error status with the message. */
int loop_run(lua_State *L, int n);

/* The world failed: return nil, message, code. */
int fail(lua_State *L, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Register a userdata type: metamethods and, optionally, methods. */
void new_type(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods);

int luaopen_core_task(lua_State *L);
int luaopen_core_http(lua_State *L);
int luaopen_core_serve(lua_State *L);
int luaopen_core_etcd(lua_State *L);
int luaopen_core_gate(lua_State *L);
int luaopen_core_net(lua_State *L);
int luaopen_core_json(lua_State *L);
int luaopen_core_crypto(lua_State *L);
int luaopen_core_sigv4(lua_State *L);
int luaopen_core_xml(lua_State *L);
int luaopen_core_fs(lua_State *L);
int luaopen_core_proc(lua_State *L);
int luaopen_core_log(lua_State *L);
int luaopen_core_wal(lua_State *L);

#endif
