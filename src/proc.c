/* proc.c - core.proc: children that are captured, waited for and killed; procstart.c starts them.
 *
 * Each child is a struct of its own on one list, so that it is reaped even after Lua forgot it, and
 * nobody else's child ever is.  A child has ended when it was reaped: what it wrote is in the pipes
 * by then, and a grandchild that keeps a pipe open holds up nobody.
 */
#include "proc.h"

#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD "core.child"
#define LIMIT (1 << 20) /* captured bytes, unless asked otherwise */

struct capture {
	struct watch watch;
	int fd; /* -1 when closed */
	char *bytes;
	size_t n, limit;
	bool overflow; /* more came than limit; it is read and dropped */
	struct child *child;
};

struct child {
	struct op op;
	struct timer timer; /* of run */
	struct capture out, err;
	pid_t pid;
	int status;
	bool alive;     /* started and not reaped */
	bool group;     /* leads a process group of its own: run's */
	bool late;      /* killed by timer */
	bool forgotten; /* by Lua: free it once reaped */
	struct child *next;
};

static struct child *children;

static void keep(struct capture *c, const char *from, size_t n)
{
	size_t room = c->limit - c->n;

	c->overflow = c->overflow || n > room;
	if (n > room)
		n = room;
	char *grown = n ? realloc(c->bytes, c->n + n) : NULL;
	if (!grown) {
		c->overflow = c->overflow || n;
		return;
	}
	c->bytes = grown;
	memcpy(c->bytes + c->n, from, n);
	c->n += n;
}

static void close_capture(struct capture *c)
{
	if (c->fd < 0)
		return;
	loop_watch(&c->watch, c->fd, 0);
	close(c->fd);
	c->fd = -1;
}

/* Read what is there; false when there is no more for now. */
static bool read_some(struct capture *c)
{
	char bytes[16384];
	ssize_t n = c->fd < 0 ? 0 : read(c->fd, bytes, sizeof bytes);

	if (n > 0)
		keep(c, bytes, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		close_capture(c);
	return n > 0;
}

static int signal_child(struct child *c, int signo)
{
	return kill(c->group ? -c->pid : c->pid, signo);
}

static void readable(struct watch *w, uint32_t events)
{
	struct capture *c = (struct capture *)((char *)w - offsetof(struct capture, watch));

	(void)events;
	read_some(c);
	/* run reports it: no need to wait for the end */
	if (c->overflow && c == &c->child->out && c->child->group)
		signal_child(c->child, SIGKILL);
}

static void free_child(struct child *c)
{
	loop_unset(&c->timer);
	close_capture(&c->out);
	close_capture(&c->err);
	free(c->out.bytes);
	free(c->err.bytes);
	free(c);
}

static void settle(struct child *c)
{
	while (!c->out.overflow && read_some(&c->out))
		continue;
	while (!c->err.overflow && read_some(&c->err))
		continue;
	close_capture(&c->out);
	close_capture(&c->err);
	loop_unset(&c->timer);
	c->alive = false;
	loop_alive.children--;
	if (c->forgotten)
		free_child(c);
	else
		loop_done(&c->op);
}

static void reap(void)
{
	for (struct child **p = &children, *c; (c = *p);) {
		if (waitpid(c->pid, &c->status, WNOHANG) != c->pid) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		settle(c);
	}
}

static void time_is_up(struct timer *t)
{
	struct child *c = (struct child *)((char *)t - offsetof(struct child, timer));

	c->late = true;
	signal_child(c, SIGKILL);
}

static const struct {
	const char *name;
	int number;
} signal_names[] = {
	{ "HUP", SIGHUP },
	{ "INT", SIGINT },
	{ "QUIT", SIGQUIT },
	{ "KILL", SIGKILL },
	{ "USR1", SIGUSR1 },
	{ "USR2", SIGUSR2 },
	{ "TERM", SIGTERM },
	{ "CONT", SIGCONT },
	{ "STOP", SIGSTOP },
	{ "ABRT", SIGABRT },
};

static int check_signal(lua_State *L, int arg)
{
	if (lua_type(L, arg) == LUA_TNUMBER)
		return (int)luaL_checkinteger(L, arg);
	const char *name = luaL_optstring(L, arg, "TERM");
	for (size_t i = 0; i < sizeof signal_names / sizeof *signal_names; i++)
		if (strcmp(signal_names[i].name, name) == 0)
			return signal_names[i].number;
	return luaL_argerror(L, arg, "not the name of a signal");
}

/* Where descriptor i of the child leads; opens what must be opened. */
static int open_stream(int i, const char *where, struct capture *c, int *fd)
{
	int pipe[2];

	*fd = -1;
	if (strcmp(where, "inherit") == 0)
		return 0;
	if (strcmp(where, "pipe") == 0 && c) {
		if (pipe2(pipe, O_CLOEXEC) != 0)
			return errno;
		c->fd = pipe[0];
		*fd = pipe[1];
		fcntl(c->fd, F_SETFL, O_NONBLOCK);
		return loop_watch(&c->watch, c->fd, EPOLLIN) ? 0 : errno;
	}
	if (strcmp(where, "null") == 0)
		where = "/dev/null";
	int mode = i == 0 ? O_RDONLY : O_WRONLY | O_CREAT | O_APPEND;
	*fd = open(where, mode | O_CLOEXEC, 0644);
	return *fd < 0 ? errno : 0;
}

static const char *option(lua_State *L, const char *name, const char *otherwise)
{
	lua_getfield(L, 1, name);
	const char *s = luaL_optstring(L, -1, otherwise);
	return s; /* stays on the stack */
}

/* NULL when out of memory. */
static struct child *push_child(lua_State *L, size_t limit)
{
	struct child **box = lua_newuserdatauv(L, sizeof(void *), 0);
	struct capture none = { .watch.ready = readable, .fd = -1, .limit = limit };

	*box = NULL;
	luaL_setmetatable(L, CHILD);
	struct child *c = *box = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->out = c->err = none;
	c->out.child = c->err.child = c;
	return c;
}

/* Start what the table at 1 describes; pushes the child and returns 0, or an error number. */
static int start(lua_State *L, const char *streams[3], bool group, struct child **made)
{
	struct start p = { .group = group };
	int error = 0;

	p.argv = proc_argv(L, 1);
	lua_getfield(L, 1, "env");
	p.env = proc_env(L, lua_gettop(L));
	p.dir = option(L, "dir", NULL);
	lua_getfield(L, 1, "limit");
	lua_Integer limit = luaL_optinteger(L, -1, LIMIT);
	luaL_argcheck(L, limit >= 0, 1, "a negative limit");
	struct child *c = *made = push_child(L, (size_t)limit);
	if (!c)
		return ENOMEM;
	struct capture *captures[3] = { NULL, &c->out, &c->err };
	c->group = group;

	for (int i = 0; i < 3; i++)
		p.fd[i] = -1;
	for (int i = 0; i < 3 && !error; i++)
		error = open_stream(i, streams[i], captures[i], &p.fd[i]);
	if (!error)
		error = proc_launch(&p, &c->pid);
	for (int i = 0; i < 3; i++)
		if (p.fd[i] >= 0)
			close(p.fd[i]);
	if (error)
		return error;
	if (group)
		setpgid(c->pid, c->pid); /* whoever is first, so that it can be killed at once */
	c->alive = true;
	c->next = children;
	children = c;
	loop_alive.children++;
	return 0;
}

static void push_end(lua_State *L, struct child *c)
{
	lua_createtable(L, 0, 3);
	lua_pushinteger(L, WIFSIGNALED(c->status) ? WTERMSIG(c->status) : WEXITSTATUS(c->status));
	lua_setfield(L, -2, WIFSIGNALED(c->status) ? "signal" : "status");
	lua_pushlstring(L, c->out.n ? c->out.bytes : "", c->out.n);
	lua_setfield(L, -2, "stdout");
	lua_pushlstring(L, c->err.n ? c->err.bytes : "", c->err.n);
	lua_setfield(L, -2, "stderr");
}

static int push_waited(lua_State *L, struct op *op)
{
	push_end(L, (struct child *)op);
	return 1;
}

static int push_run(lua_State *L, struct op *op)
{
	struct child *c = (struct child *)op;

	lua_geti(L, 1, 1);
	const char *name = lua_tostring(L, -1);
	if (c->late)
		return fail(L, "timeout", "%s had not ended when its time was up", name);
	if (c->out.overflow)
		return fail(L, "io", "%s wrote more than %zu bytes to its standard output", name,
		    c->out.limit);
	push_end(L, c);
	return 1;
}

static struct child *check_child(lua_State *L)
{
	struct child *c = *(struct child **)luaL_checkudata(L, 1, CHILD);

	luaL_argcheck(L, c, 1, "a child that was closed");
	return c;
}

static int child_gc(lua_State *L)
{
	struct child **box = luaL_checkudata(L, 1, CHILD);
	struct child *c = *box;

	*box = NULL;
	if (!c)
		return 0;
	if (c->alive) { /* it lives on */
		c->forgotten = true;
		close_capture(&c->out);
		close_capture(&c->err);
	} else {
		free_child(c);
	}
	return 0;
}

static int child_close(lua_State *L)
{
	struct child *c = *(struct child **)luaL_checkudata(L, 1, CHILD);

	if (c && c->alive)
		signal_child(c, SIGKILL);
	return child_gc(L);
}

/* child:kill(signal) -> true | nil, message, code */
static int child_kill(lua_State *L)
{
	struct child *c = check_child(L);
	int signo = check_signal(L, 2);

	if (!c->alive)
		return fail(L, "missing", "the process has ended");
	if (signal_child(c, signo) != 0)
		return fail(L, "denied", "cannot signal %d: %s", (int)c->pid, strerror(errno));
	lua_pushboolean(L, 1);
	return 1;
}

/* child:wait() -> {status=, signal=, stdout=, stderr=}   (waits) */
static int child_wait(lua_State *L)
{
	return loop_wait(L, &check_child(L)->op);
}

/* child.pid and the methods, which are the upvalue */
static int child_index(lua_State *L)
{
	const char *key = luaL_checkstring(L, 2);

	if (strcmp(key, "pid") == 0)
		lua_pushinteger(L, check_child(L)->pid);
	else
		lua_getfield(L, lua_upvalueindex(1), key);
	return 1;
}

/* proc.spawn{argv..., env=, stdin=, stdout=, stderr=, limit=, dir=} -> child |
 * nil, message, code */
static int proc_spawn(lua_State *L)
{
	struct child *c;
	const char *streams[3];

	luaL_checktype(L, 1, LUA_TTABLE);
	streams[0] = option(L, "stdin", "null");
	streams[1] = option(L, "stdout", "inherit");
	streams[2] = option(L, "stderr", "inherit");
	int error = start(L, streams, false, &c);
	if (error) {
		lua_geti(L, 1, 1);
		return proc_failed(L, lua_tostring(L, -1), error);
	}
	c->op.push = push_waited;
	return 1;
}

/* proc.run{argv..., timeout=, env=, limit=} -> {status=, signal=, stdout=, stderr=} |
 * nil, message, code   (waits) */
static int proc_run(lua_State *L)
{
	static const char *streams[3] = { "null", "pipe", "pipe" };
	struct child *c;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_getfield(L, 1, "timeout");
	lua_Number timeout = luaL_optnumber(L, -1, 0);
	int error = start(L, streams, true, &c);
	if (error) {
		lua_geti(L, 1, 1);
		return proc_failed(L, lua_tostring(L, -1), error);
	}
	lua_toclose(L, -1);
	c->op.push = push_run;
	c->timer.fired = time_is_up;
	if (timeout > 0 && !loop_set(&c->timer, loop_now() + timeout))
		return luaL_error(L, "out of memory");
	return loop_wait(L, &c->op);
}

/* proc.pid() -> integer */
static int proc_pid(lua_State *L)
{
	lua_pushinteger(L, getpid());
	return 1;
}

int luaopen_core_proc(lua_State *L)
{
	static const luaL_Reg meta[] = {
		{ "__close", child_close },
		{ "__gc", child_gc },
		{ NULL, NULL },
	};
	static const luaL_Reg methods[] = {
		{ "kill", child_kill },
		{ "wait", child_wait },
		{ NULL, NULL },
	};
	static const luaL_Reg functions[] = {
		{ "exec", proc_exec },
		{ "pid", proc_pid },
		{ "run", proc_run },
		{ "spawn", proc_spawn },
		{ NULL, NULL },
	};

	loop_on_child(reap);
	new_type(L, CHILD, meta, NULL);
	luaL_getmetatable(L, CHILD);
	luaL_newlib(L, methods);
	lua_pushcclosure(L, child_index, 1);
	lua_setfield(L, -2, "__index");
	luaL_newlib(L, functions);
	return 1;
}
