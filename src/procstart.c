/* procstart.c - core.proc's other half: from a list of words and an environment to a program that
 * runs, in a child or in our own place.
 */
#include "proc.h"

#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

char **proc_argv(lua_State *L, int index)
{
	lua_Integer n = luaL_len(L, index);

	luaL_argcheck(L, n > 0, index, "an empty command");
	char **argv = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *argv, 0);
	for (lua_Integer i = 0; i < n; i++) {
		if (lua_geti(L, index, i + 1) != LUA_TSTRING)
			luaL_error(L, "argument %I of a command is a %s, not a string", i,
			    luaL_typename(L, -1));
		argv[i] = (char *)lua_tostring(L, -1);
		lua_pop(L, 1);
	}
	argv[n] = NULL;
	return argv;
}

char **proc_env(lua_State *L, int index)
{
	size_t n = 0, kept = 0;
	lua_Integer added = 0;

	lua_newtable(L);
	if (!lua_isnoneornil(L, index)) {
		luaL_checktype(L, index, LUA_TTABLE);
		for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
			if (lua_type(L, -2) != LUA_TSTRING)
				luaL_error(L, "a name in an environment is no string");
			if (lua_isboolean(L, -1) && !lua_toboolean(L, -1))
				continue;
			lua_pushfstring(L, "%s=%s", lua_tostring(L, -2), luaL_checkstring(L, -1));
			lua_rawseti(L, -4, ++added);
		}
	}
	while (environ[n])
		n++;
	char **env = lua_newuserdatauv(L, (n + (size_t)added + 1) * sizeof *env, 0);
	for (size_t i = 0; i < n; i++) {
		int type = LUA_TNIL;
		if (!lua_isnoneornil(L, index)) {
			lua_pushlstring(L, environ[i], strcspn(environ[i], "="));
			type = lua_gettable(L, index);
			lua_pop(L, 1);
		}
		if (type == LUA_TNIL)
			env[kept++] = environ[i];
	}
	for (lua_Integer i = 1; i <= added; i++) {
		lua_rawgeti(L, -2, i);
		env[kept++] = (char *)lua_tostring(L, -1);
		lua_pop(L, 1);
	}
	env[kept] = NULL;
	return env;
}

int proc_failed(lua_State *L, const char *what, int error)
{
	const char *code = error == ENOENT ? "missing" : error == EACCES ? "denied" : "spawn";

	return fail(L, code, "cannot start %s: %s", what, strerror(error));
}

/* In the child: only what is safe after a fork. */
static _Noreturn void become(const struct start *p, const sigset_t *mask)
{
	loop_restore_child();
	sigprocmask(SIG_SETMASK, mask, NULL);
	if (p->group)
		setpgid(0, 0);
	for (int i = 0; i < 3; i++)
		if (p->fd[i] >= 0 && dup2(p->fd[i], i) < 0)
			goto failed;
	if (!p->dir || chdir(p->dir) == 0)
		execvpe(p->argv[0], p->argv, p->env);
failed:;
	int error = errno;
	(void)!write(p->report, &error, sizeof error);
	_exit(127);
}

int proc_launch(struct start *p, pid_t *pid)
{
	int pipe[2], error = 0;
	sigset_t all, before;

	if (pipe2(pipe, O_CLOEXEC) != 0)
		return errno;
	p->report = pipe[1];
	sigfillset(&all); /* our handler must not run in the child: it would write to our pipe */
	sigprocmask(SIG_SETMASK, &all, &before);
	*pid = fork();
	if (*pid == 0)
		become(p, &before);
	if (*pid < 0)
		error = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(pipe[1]);
	if (*pid > 0 && read(pipe[0], &error, sizeof error) > 0) {
		while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
			continue;
	}
	close(pipe[0]);
	return error;
}

/* proc.exec(argv, env) -> nil, message, code: returns only when that failed */
int proc_exec(lua_State *L)
{
	sigset_t none, before;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 2);
	char **argv = proc_argv(L, 1);
	char **env = proc_env(L, 2);
	sigemptyset(&none);
	loop_restore_child();
	sigprocmask(SIG_SETMASK, &none, &before);
	execvpe(argv[0], argv, env);
	int error = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	loop_catch_again();
	return proc_failed(L, argv[0], error);
}
