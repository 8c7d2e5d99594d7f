/* fs.c - core.fs: files, directories and locks.  What changes the disk is in disk.c; what only
 * reads keeps its descriptor in a userdata, which a Lua error cannot lose.
 */
#include "disk.h"
#include "loop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_TYPE "core.fs.lock"
#define NAMES "core.fs.names"
#define LIMIT (16 << 20)

struct file {
	int fd; /* -1 closed */
};

struct names {
	struct dirent **list;
	int n;
};

static const char *code_of(int error)
{
	switch (error) {
	case ENOENT:
		return "missing";
	case EACCES:
	case EPERM:
	case EROFS:
		return "denied";
	case EEXIST:
	case ENOTEMPTY:
	case EWOULDBLOCK:
		return "conflict";
	default:
		return "io";
	}
}

static int fail_kind(lua_State *L, const char *verb, const char *path)
{
	return fail(L, "io", "cannot %s %s: it is not a regular file", verb, path);
}

static int fail_errno(lua_State *L, const char *verb, const char *path, int error)
{
	return fail(L, code_of(error), "cannot %s %s: %s", verb, path, strerror(error));
}

static int finish(lua_State *L, const char *verb, const char *path, const struct trouble *t)
{
	const char *code = code_of(t->error);

	if (t->step && t->error)
		return fail(
		    L, code, "cannot %s %s: %s: %s", verb, path, t->step, strerror(t->error));
	if (t->step)
		return fail(L, code, "cannot %s %s: %s", verb, path, t->step);
	lua_pushboolean(L, true);
	return 1;
}

static const char *check_path(lua_State *L, int arg)
{
	size_t n;
	const char *path = luaL_checklstring(L, arg, &n);

	luaL_argcheck(L, n > 0 && strlen(path) == n, arg, "a path is empty or holds a NUL");
	return path;
}

static bool lock_file(int fd)
{
	int result;

	do
		result = flock(fd, LOCK_EX | LOCK_NB);
	while (result != 0 && errno == EINTR);
	return result == 0;
}

static bool parse_id(const char *s, unsigned *id)
{
	char *end;
	unsigned long value;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	value = strtoul(s, &end, 10);
	*id = (unsigned)value;
	return *end == '\0' && errno == 0 && value < UINT_MAX;
}

/* user, user:group or :group; returns the unknown half or NULL. */
static const char *find_owner(char *owner, struct access *a)
{
	char *group = strchr(owner, ':');

	if (group)
		*group++ = '\0';
	if (*owner && !parse_id(owner, &a->uid)) {
		const struct passwd *user = getpwnam(owner);

		if (!user)
			return owner;
		a->uid = user->pw_uid;
	}
	if (group && !parse_id(group, &a->gid)) {
		const struct group *found = getgrnam(group);

		if (!found)
			return group;
		a->gid = found->gr_gid;
	}
	return NULL;
}

static unsigned check_id(lua_State *L, int arg, const char *name)
{
	int type = lua_getfield(L, -1, name);
	lua_Integer id = lua_tointeger(L, -1);
	bool number = lua_isinteger(L, -1) && id >= 0 && id < UINT_MAX;

	luaL_argcheck(L, type == LUA_TNIL || number, arg, "uid and gid must be numbers");
	lua_pop(L, 1);
	return type == LUA_TNIL ? UINT_MAX : (unsigned)id;
}

static void check_mode(lua_State *L, int arg, struct access *a)
{
	int type = lua_getfield(L, arg, "mode");

	if (type != LUA_TNIL) {
		const char *mode = type == LUA_TSTRING ? lua_tostring(L, -1) : "";
		size_t n = strspn(mode, "01234567");

		a->mode = (mode_t)strtoul(mode, NULL, 8);
		luaL_argcheck(L, n >= 3 && n <= 5 && !mode[n] && a->mode <= 07777, arg,
		    "mode must be octal digits in quotes, like \"0644\"");
	}
	lua_pop(L, 1);
}

/* 0, or the results of fail pushed: an owner that this machine does not know. */
static int check_access(lua_State *L, int arg, struct access *a)
{
	char copy[256];
	int results = 0;

	if (lua_isnoneornil(L, arg))
		return 0;
	luaL_checktype(L, arg, LUA_TTABLE);
	check_mode(L, arg, a);
	if (lua_getfield(L, arg, "owner") == LUA_TTABLE) {
		a->uid = check_id(L, arg, "uid");
		a->gid = check_id(L, arg, "gid");
	} else if (!lua_isnil(L, -1)) {
		size_t n;
		const char *owner = lua_tolstring(L, -1, &n);

		luaL_argcheck(L, owner && n > 0 && n < sizeof copy && strlen(owner) == n, arg,
		    "owner must be \"user\", \"user:group\" or {uid=, gid=}");
		memcpy(copy, owner, n + 1);
		const char *unknown = find_owner(copy, a);
		if (unknown)
			results = fail(L, "missing", "the owner \"%s\" is unknown here: \"%s\"",
			    owner, unknown);
	}
	return results;
}

static struct file *new_file(lua_State *L)
{
	struct file *f = lua_newuserdatauv(L, sizeof *f, 0);

	f->fd = -1;
	luaL_setmetatable(L, FILE_TYPE);
	return f;
}

static int file_gc(lua_State *L)
{
	struct file *f = luaL_checkudata(L, 1, FILE_TYPE);

	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	return 0;
}

static int names_gc(lua_State *L)
{
	struct names *names = luaL_checkudata(L, 1, NAMES);

	while (names->n > 0)
		free(names->list[--names->n]);
	free(names->list);
	names->list = NULL;
	return 0;
}

/* fs.read(path, limit = 16 MiB) -> string | nil, message, code */
static int fs_read(lua_State *L)
{
	const char *path = check_path(L, 1);
	lua_Integer limit = luaL_optinteger(L, 2, LIMIT);
	struct file *f = new_file(L);
	lua_Integer n = 0;
	struct stat st;
	luaL_Buffer b;

	luaL_argcheck(L, limit >= 0, 2, "limit out of range");
	lua_toclose(L, -1);
	f->fd = disk_open(path, O_RDONLY | O_NONBLOCK); /* a pipe without a writer would block */
	if (f->fd < 0 || fstat(f->fd, &st) != 0)
		return fail_errno(L, "read", path, errno);
	if (S_ISDIR(st.st_mode))
		return fail(L, "io", "cannot read %s: it is a directory", path);
	if (!S_ISREG(st.st_mode))
		return fail_kind(L, "read", path);
	luaL_buffinit(L, &b);
	for (;;) {
		ssize_t got = read(f->fd, luaL_prepbuffsize(&b, 1 << 16), 1 << 16);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail_errno(L, "read", path, errno);
		if (got == 0)
			break;
		luaL_addsize(&b, (size_t)got);
		n += got;
		if (n > limit)
			return fail(L, "io", "cannot read %s: it is longer than %lld bytes", path,
			    (long long)limit);
	}
	luaL_pushresult(&b);
	return 1;
}

static int put_file(lua_State *L, const char *verb,
    bool (*put)(
	const char *path, const char *data, size_t n, const struct access *a, struct trouble *t))
{
	size_t n;
	const char *path = check_path(L, 1), *data = luaL_checklstring(L, 2, &n);
	struct access a = { 0644, (uid_t)-1, (gid_t)-1 };
	struct trouble t = { 0 };
	int failed = check_access(L, 3, &a);

	if (failed)
		return failed;
	put(path, data, n, &a, &t);
	return finish(L, verb, path, &t);
}

/* fs.write(path, data, o) -> true | nil, message, code */
static int fs_write(lua_State *L)
{
	return put_file(L, "write", disk_write);
}

/* fs.rehearse(path, data, o) -> true | nil, message, code */
static int fs_rehearse(lua_State *L)
{
	return put_file(L, "write", disk_rehearse);
}

/* fs.create(path, data, o) -> true | nil, message, code */
static int fs_create(lua_State *L)
{
	return put_file(L, "create", disk_create);
}

/* fs.mkdir(path, o) -> true | nil, message, code */
static int fs_mkdir(lua_State *L)
{
	const char *path = check_path(L, 1);
	struct access a = { 0755, (uid_t)-1, (gid_t)-1 };
	struct trouble t = { 0 };
	int failed = check_access(L, 2, &a);

	if (failed)
		return failed;
	disk_mkdir(path, &a, &t);
	return finish(L, "make the directory", path, &t);
}

/* fs.rename(from, to) -> true | nil, message, code */
static int fs_rename(lua_State *L)
{
	const char *from = check_path(L, 1), *to = check_path(L, 2);
	struct trouble t = { 0 };

	if (disk_rename(from, to, &t)) {
		lua_pushboolean(L, true);
		return 1;
	}
	return fail(L, code_of(t.error), "cannot rename %s to %s: %s: %s", from, to, t.step,
	    strerror(t.error));
}

/* fs.remove(path) -> true | nil, message, code */
static int fs_remove(lua_State *L)
{
	const char *path = check_path(L, 1);
	struct trouble t = { 0 };

	disk_remove(path, &t);
	return finish(L, "remove", path, &t);
}

static int not_dots(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* fs.list(path) -> names | nil, message, code */
static int fs_list(lua_State *L)
{
	const char *path = check_path(L, 1);
	struct names *names = lua_newuserdatauv(L, sizeof *names, 0);
	int n;

	*names = (struct names){ 0 };
	luaL_setmetatable(L, NAMES);
	lua_toclose(L, -1);
	n = scandir(path, &names->list, not_dots, compare_names);
	if (n < 0)
		return fail_errno(L, "list", path, errno);
	names->n = n;
	lua_createtable(L, n, 0);
	for (int i = 0; i < n; i++) {
		lua_pushstring(L, names->list[i]->d_name);
		lua_rawseti(L, -2, i + 1);
	}
	return 1;
}

static void set_integer(lua_State *L, const char *name, lua_Integer value)
{
	lua_pushinteger(L, value);
	lua_setfield(L, -2, name);
}

/* fs.stat(path, {follow = false}?) -> {type, size, mode, uid, gid, inode, mtime}
 *   | nil, message, code */
static int fs_stat(lua_State *L)
{
	const char *path = check_path(L, 1);
	struct stat st;
	bool follow = false;

	if (lua_istable(L, 2)) {
		lua_getfield(L, 2, "follow");
		follow = lua_toboolean(L, -1);
	}
	if ((follow ? stat(path, &st) : lstat(path, &st)) != 0)
		return fail_errno(L, "look at", path, errno);
	lua_createtable(L, 0, 7);
	lua_pushstring(L, S_ISREG(st.st_mode)   ? "file"
			  : S_ISDIR(st.st_mode) ? "directory"
			  : S_ISLNK(st.st_mode) ? "link"
						: "other");
	lua_setfield(L, -2, "type");
	set_integer(L, "size", (lua_Integer)st.st_size);
	set_integer(L, "mode", (lua_Integer)(st.st_mode & 07777));
	set_integer(L, "uid", (lua_Integer)st.st_uid);
	set_integer(L, "gid", (lua_Integer)st.st_gid);
	set_integer(L, "inode", (lua_Integer)st.st_ino);
	lua_pushnumber(L, (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec / 1e9);
	lua_setfield(L, -2, "mtime");
	return 1;
}

/* fs.lock(path) -> lock | nil, message, code */
static int fs_lock(lua_State *L)
{
	const char *path = check_path(L, 1);
	struct file *f = new_file(L);

	f->fd = disk_open(path, O_RDWR | O_CREAT | O_NONBLOCK | O_NOFOLLOW);
	if (f->fd >= 0 && lock_file(f->fd))
		return 1;
	int error = errno;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	if (error == EWOULDBLOCK)
		return fail(L, "conflict", "cannot lock %s: another process holds it", path);
	return fail_errno(L, "lock", path, error);
}

/* fs.locked(path) -> boolean | nil, message, code */
static int fs_locked(lua_State *L)
{
	const char *path = check_path(L, 1);
	int fd = disk_open(path, O_RDONLY | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return fail_errno(L, "look at the lock of", path, errno);
	bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
	bool free_now = regular && lock_file(fd);
	int error = errno;
	close(fd); /* releases it */
	if (!regular)
		return fail_kind(L, "look at the lock of", path);
	if (!free_now && error != EWOULDBLOCK)
		return fail_errno(L, "look at the lock of", path, error);
	lua_pushboolean(L, !free_now);
	return 1;
}

int luaopen_core_fs(lua_State *L)
{
	static const luaL_Reg file_meta[] = {
		{ "__close", file_gc },
		{ "__gc", file_gc },
		{ NULL, NULL },
	};
	static const luaL_Reg file_methods[] = {
		{ "close", file_gc },
		{ NULL, NULL },
	};
	static const luaL_Reg names_meta[] = {
		{ "__close", names_gc },
		{ "__gc", names_gc },
		{ NULL, NULL },
	};
	static const luaL_Reg functions[] = {
		{ "create", fs_create },
		{ "list", fs_list },
		{ "lock", fs_lock },
		{ "locked", fs_locked },
		{ "mkdir", fs_mkdir },
		{ "read", fs_read },
		{ "rehearse", fs_rehearse },
		{ "remove", fs_remove },
		{ "rename", fs_rename },
		{ "stat", fs_stat },
		{ "write", fs_write },
		{ NULL, NULL },
	};

	new_type(L, FILE_TYPE, file_meta, file_methods);
	new_type(L, NAMES, names_meta, NULL);
	luaL_newlib(L, functions);
	return 1;
}
