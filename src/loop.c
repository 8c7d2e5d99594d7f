/* loop.c - the scheduler: tasks, timers, descriptors and signals in one epoll; core.task.
 *
 * One turn of the loop sleeps until something happens, tells the callbacks of C, and resumes the
 * tasks that were woken.  Polling comes first, so that a caller's "is it done?" is never followed
 * by a needless sleep; a task woken while others are being resumed runs in the next turn, so that
 * descriptors are never starved by tasks that wake each other.
 */
#include "loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define TASK "core.task"
#define EVENT "core.event"
#define SLEEP "core.sleep"
#define BATCH 256
#define CANCELLED (-1)   /* beside the statuses of Lua */
#define GUARD_STEP 10000 /* instructions between two looks at the clock */

struct task {
	struct op ended; /* what joiners wait on */
	lua_State *co;
	struct op *waiting;        /* what it sleeps on, NULL in the ready queue */
	struct task *next, **link; /* the list it is on; link is NULL while it runs or has ended */
	unsigned turn;             /* when it became ready */
	double limit;              /* of CPU seconds from one wait to the next, 0 for none */
	int status;                /* LUA_YIELD while alive, then how it ended */
};

struct sleep {
	struct op op;
	struct timer timer;
};

struct caught {
	int signo;
	const char *name;
	bool ours;
	volatile sig_atomic_t came;
	struct sigaction before;
};

static struct {
	lua_State *L;
	struct task *current, *main; /* running; loop_run's own */
	struct task *head, **tail;   /* ready queue */
	unsigned turn;
	struct timer **heap; /* heap[1..n], earliest first */
	size_t n, cap;
	size_t tasks, watches;           /* alive; watched */
	int epoll, pipe[2];              /* the pipe leads from the signal handler to epoll */
	struct epoll_event batch[BATCH]; /* batch[at..got] has not been told yet */
	int at, got;
	struct op signal; /* what task.signal() waits on */
	void (*reap)(void);
	struct rlimit files; /* as it was */
	double limit, since; /* limit outside of tasks; CPU time when the present slice began */
} loop = { .tail = &loop.head, .epoll = -1, .pipe = { -1, -1 } };

enum { HUP, INT, TERM, CHLD, PIPE, SIGNALS };

static struct caught signals[SIGNALS] = {
	[HUP] = { .signo = SIGHUP, .name = "HUP" },
	[INT] = { .signo = SIGINT, .name = "INT" },
	[TERM] = { .signo = SIGTERM, .name = "TERM" },
	[CHLD] = { .signo = SIGCHLD },
	[PIPE] = { .signo = SIGPIPE }, /* ignored, not caught */
};

struct loop_alive loop_alive;

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

double loop_now(void)
{
	return seconds(CLOCK_MONOTONIC);
}

/* Timers: a binary heap. */

static void place(struct timer *t, size_t i)
{
	loop.heap[i] = t;
	t->slot = i;
}

static void sift(size_t i)
{
	struct timer *t = loop.heap[i];

	for (; i > 1 && t->due < loop.heap[i / 2]->due; i /= 2)
		place(loop.heap[i / 2], i);
	for (size_t c; (c = 2 * i) <= loop.n; i = c) {
		if (c < loop.n && loop.heap[c + 1]->due < loop.heap[c]->due)
			c++;
		if (t->due <= loop.heap[c]->due)
			break;
		place(loop.heap[c], i);
	}
	place(t, i);
}

bool loop_set(struct timer *t, double due)
{
	t->due = due;
	if (!t->slot) {
		if (loop.n + 2 > loop.cap) {
			size_t cap = loop.cap ? 2 * loop.cap : 16;
			void *p = realloc(loop.heap, cap * sizeof *loop.heap);
			if (!p)
				return false;
			loop.heap = p;
			loop.cap = cap;
		}
		place(t, ++loop.n);
	}
	sift(t->slot);
	return true;
}

void loop_unset(struct timer *t)
{
	size_t i = t->slot;

	if (!i)
		return;
	t->slot = 0;
	struct timer *last = loop.heap[loop.n--];
	if (last == t)
		return;
	place(last, i);
	sift(i);
}

/* Descriptors. */

bool loop_watch(struct watch *w, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	if (w->events && (!events || w->fd != fd)) {
		epoll_ctl(loop.epoll, EPOLL_CTL_DEL, w->fd, NULL);
		w->events = 0;
		loop.watches--;
		for (int i = loop.at; i < loop.got; i++) /* w may be freed before its turn comes */
			if (loop.batch[i].data.ptr == w)
				loop.batch[i].data.ptr = NULL;
	}
	if (!events)
		return true;
	if (epoll_ctl(loop.epoll, w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e) != 0)
		return false;
	if (!w->events)
		loop.watches++;
	w->fd = fd;
	w->events = events;
	return true;
}

static void raise_files(void)
{
	struct rlimit most = { .rlim_cur = loop.files.rlim_max, .rlim_max = loop.files.rlim_max };

	setrlimit(RLIMIT_NOFILE, &most);
}

size_t loop_spare_files(void)
{
	struct rlimit now;
	size_t open = 0;
	DIR *d = opendir("/proc/self/fd");

	getrlimit(RLIMIT_NOFILE, &now);
	if (d) {
		while (readdir(d))
			open++;
		closedir(d);
		open -= 3; /* ".", ".." and d itself */
	} else {
		int lowest = fcntl(loop.epoll, F_DUPFD_CLOEXEC, 0);
		if (lowest < 0)
			return 0;
		close(lowest);
		open = (size_t)lowest;
	}
	return open < now.rlim_cur ? (size_t)now.rlim_cur - open : 0;
}

/* Tasks: every sleeping or runnable one is on exactly one list. */

static void enlist(struct task *t, struct task **at)
{
	t->next = *at;
	t->link = at;
	*at = t;
	if (t->next)
		t->next->link = &t->next;
	else if (at == loop.tail)
		loop.tail = &t->next;
}

static void unlist(struct task *t)
{
	*t->link = t->next;
	if (t->next)
		t->next->link = t->link;
	else if (loop.tail == &t->next)
		loop.tail = t->link;
	t->link = NULL;
	t->waiting = NULL;
}

void loop_done(struct op *op)
{
	struct task **at = loop.tail; /* always here: waiters stand last come, first */

	op->done = true;
	for (struct task *t; (t = op->waiters);) {
		unlist(t);
		t->turn = loop.turn;
		enlist(t, at);
	}
}

/* How much CPU time the code that runs now may spend between two waits. */
static double *limit(void)
{
	return loop.current ? &loop.current->limit : &loop.limit;
}

static void start_slice(void)
{
	if (*limit() > 0)
		loop.since = seconds(CLOCK_THREAD_CPUTIME_ID);
}

/* Forget an ended task; its results or its message stay on its own stack. */
static void end(struct task *t, int status)
{
	t->status = status;
	if (t != loop.main)
		loop.tasks--;
	loop_done(&t->ended);
	lua_rawgetp(loop.L, LUA_REGISTRYINDEX, &loop);
	lua_pushnil(loop.L);
	lua_rawsetp(loop.L, -2, t);
	lua_pop(loop.L, 1);
}

/* Close a task's pending variables.  They cannot wait: as the current task it cannot yield here. */
static void close_pending(struct task *t)
{
	struct task *outer = loop.current;

	loop.current = t;
	lua_resetthread(t->co);
	loop.current = outer;
}

static void resume(struct task *t)
{
	int n = lua_status(t->co) == LUA_OK ? lua_gettop(t->co) - 1 : 0;

	loop.current = t;
	start_slice();
	int status = lua_resume(t->co, loop.L, n, &n);
	loop.current = NULL;
	if (status == LUA_YIELD)
		return; /* loop_wait has listed it */
	if (status != LUA_OK) {
		if (t == loop.main && status == LUA_ERRRUN)
			luaL_traceback(t->co, t->co, luaL_tolstring(t->co, -1, NULL), 0);
		close_pending(t);
	}
	end(t, status);
}

static void cancel(struct task *t)
{
	unlist(t);
	close_pending(t);
	lua_settop(t->co, 0);
	end(t, CANCELLED);
}

static int push_ended(lua_State *L, struct op *op)
{
	struct task *t = (struct task *)op;
	int n = lua_gettop(t->co);

	if (t->status == CANCELLED)
		return fail(L, "cancelled", "cancelled");
	if (t->status != LUA_OK)
		return fail(L, "usage", "%s", luaL_tolstring(t->co, -1, NULL));
	luaL_checkstack(t->co, n, "too many results");
	luaL_checkstack(L, n, "too many results");
	for (int i = 1; i <= n; i++)
		lua_pushvalue(t->co, i);
	lua_xmove(t->co, L, n);
	return n;
}

/* Make a task of the function and its n arguments on top of the stack, which it replaces. */
static struct task *spawn(lua_State *L, int n)
{
	struct task *t = lua_newuserdatauv(L, sizeof *t, 1);

	*t = (struct task){
		.ended.push = push_ended, .turn = loop.turn, .limit = *limit(), .status = LUA_YIELD
	};
	luaL_setmetatable(L, TASK);
	t->co = lua_newthread(L);
	lua_setiuservalue(L, -2, 1);
	luaL_checkstack(t->co, n + 1, "too many arguments");
	lua_rawgetp(L, LUA_REGISTRYINDEX, &loop);
	lua_pushvalue(L, -2);
	lua_rawsetp(L, -2, t); /* alive until it ends */
	lua_pop(L, 1);
	lua_insert(L, -n - 2);
	lua_xmove(L, t->co, n + 1);
	loop.tasks++;
	enlist(t, loop.tail);
	return t;
}

/* Signals: the handler notes and writes to the pipe, a turn of the loop reads. */

static void on_signal(int signo)
{
	int saved = errno;

	for (size_t i = 0; i < SIGNALS; i++)
		if (signals[i].signo == signo)
			signals[i].came = 1;
	(void)!write(loop.pipe[1], "", 1); /* a full pipe wakes as well */
	errno = saved;
}

/* A HUP that was ignored at the start stays so: nohup asked for it. */
static void take(struct caught *s)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	if (s == &signals[PIPE])
		sa.sa_handler = SIG_IGN;
	if (!s->ours)
		sigaction(s->signo, NULL, &s->before);
	s->ours = true;
	if (s != &signals[HUP] || s->before.sa_handler != SIG_IGN)
		sigaction(s->signo, &sa, NULL);
}

static void read_signals(struct watch *w, uint32_t events)
{
	char bytes[64];

	(void)events;
	while (read(w->fd, bytes, sizeof bytes) > 0)
		continue;
	if (signals[CHLD].came) {
		signals[CHLD].came = 0;
		loop.reap();
	}
	for (int i = HUP; i <= TERM; i++)
		if (signals[i].came)
			loop_done(&loop.signal);
}

void loop_on_child(void (*reap)(void))
{
	loop.reap = reap;
	take(&signals[CHLD]);
}

void loop_restore_child(void)
{
	for (size_t i = 0; i < SIGNALS; i++)
		if (signals[i].ours)
			sigaction(signals[i].signo, &signals[i].before, NULL);
	setrlimit(RLIMIT_NOFILE, &loop.files);
}

void loop_catch_again(void)
{
	for (size_t i = 0; i < SIGNALS; i++)
		if (signals[i].ours)
			take(&signals[i]);
	raise_files();
}

/* The loop. */

/* Milliseconds that epoll may sleep. */
static int patience(void)
{
	if (loop.head)
		return 0;
	if (!loop.n)
		return -1;
	double ms = ceil((loop.heap[1]->due - loop_now()) * 1000);
	return ms <= 0 ? 0 : ms < 1e9 ? (int)ms : 1000000000;
}

static void turn(void)
{
	int n = epoll_wait(loop.epoll, loop.batch, BATCH, patience());

	loop.got = n < 0 ? 0 : n; /* EINTR: the handler has written to the pipe */
	for (loop.at = 0; loop.at < loop.got;) {
		struct epoll_event e = loop.batch[loop.at++];
		struct watch *w = e.data.ptr;
		if (w)
			w->ready(w, e.events);
	}
	for (double now = loop_now(); loop.n && loop.heap[1]->due <= now;) {
		struct timer *t = loop.heap[1];
		loop_unset(t);
		t->fired(t);
	}
	for (loop.turn++; loop.head && loop.head->turn != loop.turn;) {
		struct task *t = loop.head;
		unlist(t);
		resume(t);
	}
}

static int woken(lua_State *L, int status, lua_KContext ctx)
{
	struct op *op = (struct op *)ctx;

	(void)status;
	return op->push(L, op);
}

int loop_wait(lua_State *L, struct op *op)
{
	struct task *t = loop.current;

	if (op->done)
		return op->push(L, op);
	if (!t) { /* a plain script or a spec: be synchronous */
		while (!op->done)
			turn();
		start_slice();
		return op->push(L, op);
	}
	if (L != t->co || !lua_isyieldable(L))
		return luaL_error(L, "cannot wait here: inside a coroutine of one's own, "
				     "a sort or gsub callback, a metamethod or a closing variable");
	t->waiting = op;
	enlist(t, &op->waiters);
	return lua_yieldk(L, 0, (lua_KContext)op, woken);
}

int loop_run(lua_State *L, int n)
{
	struct task *t = spawn(L, n);
	int status;

	loop.main = t;
	loop.tasks--;
	while (!t->ended.done)
		turn();
	lua_rawgetp(L, LUA_REGISTRYINDEX, &loop);
	for (lua_pushnil(L); lua_next(L, -2); lua_pushnil(L)) { /* those left behind */
		cancel(lua_touserdata(L, -1));
		lua_pop(L, 2);
	}
	lua_pop(L, 1);
	loop.main = NULL;
	status = t->status;
	n = lua_gettop(t->co);
	luaL_checkstack(L, n, "too many results");
	lua_xmove(t->co, L, n);
	lua_remove(L, -n - 1);
	return status;
}

/* Helpers for every room. */

int fail(lua_State *L, const char *code, const char *fmt, ...)
{
	char message[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	luaL_pushfail(L);
	lua_pushstring(L, message);
	lua_pushstring(L, code);
	return 3;
}

void new_type(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods)
{
	luaL_newmetatable(L, name);
	luaL_setfuncs(L, meta, 0);
	if (methods) {
		lua_newtable(L);
		luaL_setfuncs(L, methods, 0);
		lua_setfield(L, -2, "__index");
	}
	lua_pop(L, 1);
}

/* core.task */

static int push_true(lua_State *L, struct op *op)
{
	(void)op;
	lua_pushboolean(L, 1);
	return 1;
}

/* Hands each signal to one waiter. */
static int push_signal(lua_State *L, struct op *op)
{
	for (int i = HUP; i <= TERM; i++) {
		if (!signals[i].came)
			continue;
		signals[i].came = 0;
		lua_pushinteger(L, signals[i].signo);
		lua_pushstring(L, signals[i].name);
		return 2;
	}
	op->done = false;
	return loop_wait(L, op);
}

/* Runs every GUARD_STEP instructions of guarded code and of the coroutines that it made.  Once time
 * is up it runs before each instruction, so that no pcall holds on to the slice. */
static void check_time(lua_State *L, lua_Debug *ar)
{
	double allowed = *limit();

	(void)ar;
	if (allowed <= 0) { /* a coroutine that has outlived its guard */
		lua_sethook(L, NULL, 0, 0);
		return;
	}
	bool over = seconds(CLOCK_THREAD_CPUTIME_ID) - loop.since > allowed;
	lua_sethook(L, check_time, LUA_MASKCOUNT, over ? 1 : GUARD_STEP);
	if (over) {
		luaL_where(L, 0);
		const char *where = lua_tostring(L, -1);
		lua_pushfstring(L, "%sstopped after %f s without an end", where, allowed);
		lua_error(L);
	}
}

static void set_limit(lua_State *L, double allowed)
{
	*limit() = allowed;
	start_slice();
	lua_sethook(L, allowed > 0 ? check_time : NULL, LUA_MASKCOUNT, GUARD_STEP);
}

static int unguard(lua_State *L, int status, lua_KContext ctx)
{
	(void)ctx;
	set_limit(L, lua_tonumber(L, 1));
	lua_pushboolean(L, status == LUA_OK || status == LUA_YIELD);
	lua_replace(L, 1);
	return lua_gettop(L);
}

/* task.guard(seconds, f, ...) -> true, ... | false, message   (waits if f does) */
static int task_guard(lua_State *L)
{
	double allowed = luaL_checknumber(L, 1);

	luaL_argcheck(L, allowed > 0, 1, "a positive number of seconds expected");
	luaL_checkany(L, 2);
	lua_pushnumber(L, *limit());
	lua_replace(L, 1);
	set_limit(L, allowed);
	return unguard(L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, unguard), 0);
}

/* task.spawn(f, ...) -> task */
static int task_spawn(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TFUNCTION);
	spawn(L, lua_gettop(L) - 1);
	return 1;
}

/* task:join() -> results of f | nil, message, code   (waits) */
static int task_join(lua_State *L)
{
	struct task *t = luaL_checkudata(L, 1, TASK);

	luaL_argcheck(L, t != loop.current, 1, "a task cannot join itself");
	return loop_wait(L, &t->ended);
}

/* task:cancel()   stops it where it waits and closes its <close> variables */
static int task_cancel(lua_State *L)
{
	struct task *t = luaL_checkudata(L, 1, TASK);

	luaL_argcheck(L, t != loop.current, 1, "a task cannot cancel itself");
	if (t->link)
		cancel(t);
	return 0;
}

/* task.event() -> event */
static int task_event(lua_State *L)
{
	struct op *op = lua_newuserdatauv(L, sizeof *op, 0);

	*op = (struct op){ .push = push_true };
	luaL_setmetatable(L, EVENT);
	return 1;
}

/* event:wait() -> true   (waits) */
static int event_wait(lua_State *L)
{
	return loop_wait(L, luaL_checkudata(L, 1, EVENT));
}

/* event:set()   wakes all who wait, and nobody waits for it any more */
static int event_set(lua_State *L)
{
	loop_done(luaL_checkudata(L, 1, EVENT));
	return 0;
}

static void wake_sleeper(struct timer *t)
{
	loop_done(&((struct sleep *)((char *)t - offsetof(struct sleep, timer)))->op);
}

static int sleep_gc(lua_State *L)
{
	struct sleep *s = luaL_checkudata(L, 1, SLEEP);

	loop_unset(&s->timer);
	return 0;
}

/* task.sleep(seconds) -> true   (waits) */
static int task_sleep(lua_State *L)
{
	double due = loop_now() + luaL_checknumber(L, 1);

	luaL_argcheck(L, !isnan(due), 1, "not a number");
	struct sleep *s = lua_newuserdatauv(L, sizeof *s, 0);
	*s = (struct sleep){ .op.push = push_true, .timer.fired = wake_sleeper };
	luaL_setmetatable(L, SLEEP);
	lua_toclose(L, -1);
	if (!loop_set(&s->timer, due))
		return luaL_error(L, "out of memory");
	return loop_wait(L, &s->op);
}

/* task.signal() -> number, name   (waits) */
static int task_signal(lua_State *L)
{
	for (int i = HUP; i <= TERM; i++) /* until somebody asks, a signal just ends the process */
		if (!signals[i].ours)
			take(&signals[i]);
	return push_signal(L, &loop.signal);
}

/* task.now() -> clock */
static int task_now(lua_State *L)
{
	lua_pushnumber(L, loop_now());
	return 1;
}

/* task.time() -> now */
static int task_time(lua_State *L)
{
	lua_pushnumber(L, seconds(CLOCK_REALTIME));
	return 1;
}

static void push_count(lua_State *L, const char *name, size_t count)
{
	lua_pushinteger(L, (lua_Integer)count);
	lua_setfield(L, -2, name);
}

/* task.pending() -> {tasks=, timers=, watches=, children=, transfers=} */
static int task_pending(lua_State *L)
{
	lua_createtable(L, 0, 5);
	push_count(L, "tasks", loop.tasks);
	push_count(L, "timers", loop.n);
	push_count(L, "watches", loop.watches);
	push_count(L, "children", loop_alive.children);
	push_count(L, "transfers", loop_alive.transfers);
	return 1;
}

static int loop_gc(lua_State *L)
{
	(void)L;
	close(loop.epoll);
	free(loop.heap);
	loop.heap = NULL;
	loop.n = loop.cap = 0;
	return 0;
}

static void loop_init(lua_State *L)
{
	static struct watch w = { .ready = read_signals };
	static const luaL_Reg meta[] = { { "__gc", loop_gc }, { NULL, NULL } };

	lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
	loop.L = lua_tothread(L, -1);
	loop.signal.push = push_signal;
	loop.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop.epoll < 0 || pipe2(loop.pipe, O_CLOEXEC | O_NONBLOCK) != 0 ||
	    !loop_watch(&w, loop.pipe[0], EPOLLIN))
		luaL_error(L, "cannot watch descriptors: %s", strerror(errno));
	loop.watches = 0; /* this one is not pending work */
	getrlimit(RLIMIT_NOFILE, &loop.files);
	raise_files();
	take(&signals[PIPE]);
	new_type(L, "core.loop", meta, NULL);
	lua_newtable(L); /* pointer -> task; first object with __gc, so the last to be collected */
	luaL_setmetatable(L, "core.loop");
	lua_rawsetp(L, LUA_REGISTRYINDEX, &loop);
	lua_pop(L, 1);
}

int luaopen_core_task(lua_State *L)
{
	static const luaL_Reg none[] = { { NULL, NULL } };
	static const luaL_Reg sleep_meta[] = {
		{ "__close", sleep_gc },
		{ "__gc", sleep_gc },
		{ NULL, NULL },
	};
	static const luaL_Reg event_methods[] = {
		{ "set", event_set },
		{ "wait", event_wait },
		{ NULL, NULL },
	};
	static const luaL_Reg task_methods[] = {
		{ "cancel", task_cancel },
		{ "join", task_join },
		{ NULL, NULL },
	};
	static const luaL_Reg functions[] = {
		{ "event", task_event },
		{ "guard", task_guard },
		{ "now", task_now },
		{ "pending", task_pending },
		{ "signal", task_signal },
		{ "sleep", task_sleep },
		{ "spawn", task_spawn },
		{ "time", task_time },
		{ NULL, NULL },
	};

	if (loop.epoll < 0)
		loop_init(L);
	new_type(L, TASK, none, task_methods);
	new_type(L, EVENT, none, event_methods);
	new_type(L, SLEEP, sleep_meta, NULL);
	luaL_newlib(L, functions);
	return 1;
}
