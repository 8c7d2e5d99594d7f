/* proc.h - what the two files of core.proc share. */
#ifndef EB_PROC_H
#define EB_PROC_H

#include <lua.h>
#include <stdbool.h>
#include <sys/types.h>

/* What a child process needs between fork and exec. */
struct start {
	char **argv, **env;
	const char *dir;
	int fd[3];  /* -1: as ours */
	int report; /* where errno goes when exec fails */
	bool group;
};

/* Push the strings of the table at index, which keeps them alive, as an array. */
char **proc_argv(lua_State *L, int index);
/* The environment with the changes of the table at index, which may be nil.  Pushes two values: a
 * table that keeps the new strings, and the array. */
char **proc_env(lua_State *L, int index);
/* Fork and exec; 0 or the error number of what failed. */
int proc_launch(struct start *p, pid_t *pid);
/* Push nil, message, code for that error number. */
int proc_failed(lua_State *L, const char *what, int error);
/* proc.exec */
int proc_exec(lua_State *L);

#endif
