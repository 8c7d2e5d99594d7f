/* disk.c - changes of the disk that survive a crash; nothing here touches Lua, so that no Lua error
 * can leave a descriptor or a temporary file behind.
 *
 * A write makes a new file beside the old one, flushes it, renames it over the old one and
 * flushes the directory: whoever looks, at whatever moment the power goes, finds the old file or
 * the new one.
 */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY "/.etcd-bootstrap.XXXXXX"
#define LINKS_MAX 40

static bool stuck(struct trouble *t, const char *step, int error)
{
	t->step = step;
	t->error = error;
	return false;
}

int disk_open(const char *path, int flags)
{
	int fd;

	do
		fd = open(path, flags | O_CLOEXEC | O_NOCTTY, 0600);
	while (fd < 0 && errno == EINTR);
	return fd;
}

/* Some file systems cannot flush a directory and say EINVAL; there is nothing more to do. */
static bool flush(int fd, bool directory)
{
	int result;

	do
		result = fsync(fd);
	while (result != 0 && errno == EINTR);
	return result == 0 || (directory && errno == EINVAL);
}

/* The directory that holds path; slashes at the end do not count. */
static bool parent_of(const char *path, char parent[PATH_MAX])
{
	size_t n = strlen(path);

	if (n >= PATH_MAX)
		return false;
	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n > 0 && path[n - 1] != '/')
		n--;
	while (n > 1 && path[n - 1] == '/')
		n--;
	snprintf(parent, PATH_MAX, "%.*s", n > 0 ? (int)n : 1, n > 0 ? path : ".");
	return true;
}

static int open_parent(const char *path, struct trouble *t)
{
	char parent[PATH_MAX];
	int fd = -1;

	errno = ENAMETOOLONG;
	if (parent_of(path, parent))
		fd = disk_open(parent, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		stuck(t, "its directory", errno);
	return fd;
}

static bool flush_parent(const char *path, struct trouble *t)
{
	int fd = open_parent(path, t);

	if (fd < 0)
		return false;
	bool ok = flush(fd, true) || stuck(t, "flush of its directory", errno);
	close(fd);
	return ok;
}

/* In a directory where everybody may write, a link of somebody else's is not followed: it would
 * lead us to any file that only we may write. */
static bool trusted_link(const char *path, const struct stat *link)
{
	char parent[PATH_MAX];
	struct stat dir;

	if (!parent_of(path, parent) || stat(parent, &dir) != 0)
		return false;
	return !(dir.st_mode & S_IWOTH) || link->st_uid == geteuid() || link->st_uid == dir.st_uid;
}

static bool step_link(char path[PATH_MAX], struct trouble *t)
{
	char link[PATH_MAX], parent[PATH_MAX];
	ssize_t n = readlink(path, link, sizeof link - 1);

	if (n < 0)
		return stuck(t, "its link", errno);
	link[n] = '\0';
	if (*link == '/')
		memcpy(path, link, (size_t)n + 1);
	else if (!parent_of(path, parent) ||
		 snprintf(path, PATH_MAX, "%s/%s", parent, link) >= PATH_MAX)
		return stuck(t, "its link", ENAMETOOLONG);
	return true;
}

/* Replace path by what it links to, in the end: a file, or a name that is still free.  realpath
 * would not do, for the file that /etc/foo points to in /run is gone after each boot. */
static bool resolve(char path[PATH_MAX], struct trouble *t)
{
	struct stat st;

	for (int links = 0; links < LINKS_MAX; links++) {
		if (lstat(path, &st) != 0)
			return errno == ENOENT || stuck(t, "look", errno);
		if (S_ISDIR(st.st_mode))
			return stuck(t, "it is a directory", 0);
		if (S_ISREG(st.st_mode))
			return true;
		if (!S_ISLNK(st.st_mode))
			return stuck(t, "it is not a regular file", 0);
		if (!trusted_link(path, &st))
			return stuck(t, "a link of another user's", EACCES);
		if (!step_link(path, t))
			return false;
	}
	return stuck(t, "its link", ELOOP);
}

/* chown first: it takes set-id bits away. */
static bool give(int fd, const struct access *a, struct trouble *t)
{
	if ((a->uid != (uid_t)-1 || a->gid != (gid_t)-1) && fchown(fd, a->uid, a->gid) != 0)
		return stuck(t, "owner", errno);
	return fchmod(fd, a->mode) == 0 || stuck(t, "mode", errno);
}

static bool fill(int fd, const char *data, size_t n, struct trouble *t)
{
	while (n > 0) {
		ssize_t put = write(fd, data, n);

		if (put < 0 && errno != EINTR)
			return stuck(t, "write", errno);
		data += put > 0 ? put : 0;
		n -= put > 0 ? (size_t)put : 0;
	}
	return flush(fd, false) || stuck(t, "flush", errno);
}

/* NFS asks again when an answer was lost, and its second try finds the name taken by the first;
 * that the file has two names now tells whose it is. */
static bool link_new(const char *from, const char *to, struct trouble *t)
{
	struct stat st;

	if (link(from, to) == 0)
		return true;
	int error = errno;
	return (error == EEXIST && stat(from, &st) == 0 && st.st_nlink == 2) ||
	       stuck(t, "link", error);
}

/* What becomes of the finished file: it replaces what has the name, takes it if it is free, or was
 * made only to see whether it can be. */
enum way { REPLACE, FRESH, REHEARSE };

static bool place(const char *target, const char *data, size_t n, const struct access *a,
    enum way way, struct trouble *t)
{
	char temporary[PATH_MAX + sizeof TEMPORARY];

	errno = ENAMETOOLONG;
	if (!parent_of(target, temporary))
		return stuck(t, "temporary file", errno);
	memcpy(temporary + strlen(temporary), TEMPORARY, sizeof TEMPORARY);
	int fd = mkostemp(temporary, O_CLOEXEC); /* O_EXCL, mode 0600 */
	if (fd < 0)
		return stuck(t, "temporary file", errno);
	bool ok = give(fd, a, t) && fill(fd, data, n, t);
	if (close(fd) != 0 && ok && errno != EINTR)
		ok = stuck(t, "close", errno);
	if (ok && way == FRESH)
		ok = link_new(temporary, target, t);
	else if (ok && way == REPLACE && rename(temporary, target) != 0)
		ok = stuck(t, "rename", errno);
	if (!ok || way != REPLACE)
		unlink(temporary);
	return ok;
}

/* The directory is opened first, so that what cannot be flushed is not begun. */
static bool place_durably(const char *target, const char *data, size_t n, const struct access *a,
    enum way way, struct trouble *t)
{
	int dir = open_parent(target, t);

	if (dir < 0)
		return false;
	bool ok = place(target, data, n, a, way, t);
	if (ok && !flush(dir, true))
		ok = stuck(t, "flush of its directory", errno);
	close(dir);
	return ok;
}

static bool write_to(const char *path, const char *data, size_t n, const struct access *a,
    enum way way, struct trouble *t)
{
	char target[PATH_MAX];
	size_t length = strlen(path);

	if (length >= sizeof target)
		return stuck(t, "its name", ENAMETOOLONG);
	memcpy(target, path, length + 1);
	return resolve(target, t) && place_durably(target, data, n, a, way, t);
}

bool disk_write(
    const char *path, const char *data, size_t n, const struct access *a, struct trouble *t)
{
	return write_to(path, data, n, a, REPLACE, t);
}

bool disk_rehearse(
    const char *path, const char *data, size_t n, const struct access *a, struct trouble *t)
{
	return write_to(path, data, n, a, REHEARSE, t);
}

bool disk_create(
    const char *path, const char *data, size_t n, const struct access *a, struct trouble *t)
{
	return place_durably(path, data, n, a, FRESH, t);
}

static bool make_directory(const char *path, const struct access *a, struct trouble *t)
{
	if (mkdir(path, 0700) != 0)
		return stuck(t, "make", errno);
	int fd = disk_open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	bool ok = fd >= 0 ? give(fd, a, t) : stuck(t, "open", errno);
	if (ok && !flush(fd, true))
		ok = stuck(t, "flush", errno);
	if (fd >= 0)
		close(fd);
	if (!ok)
		rmdir(path);
	return ok && flush_parent(path, t);
}

/* Somebody else may make the same directory meanwhile; then it is there, as asked. */
static bool ensure_directory(const char *path, const struct access *a, struct trouble *t)
{
	struct stat st;

	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) || stuck(t, "something else has its name", EEXIST);
	if (errno != ENOENT)
		return stuck(t, "look", errno);
	if (make_directory(path, a, t))
		return true;
	if (t->error != EEXIST || stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		return false;
	t->step = NULL;
	return true;
}

bool disk_mkdir(const char *path, const struct access *a, struct trouble *t)
{
	static const struct access parent = { 0755, (uid_t)-1, (gid_t)-1 };
	char part[PATH_MAX];
	size_t n = strlen(path);

	if (n >= sizeof part)
		return stuck(t, "its name", ENAMETOOLONG);
	memcpy(part, path, n + 1);
	while (n > 1 && part[n - 1] == '/')
		part[--n] = '\0';
	for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (!ensure_directory(part, &parent, t))
			return false;
		*slash = '/';
	}
	return ensure_directory(part, a, t);
}

static bool rename_new(const char *from, const char *to, struct trouble *t)
{
	struct stat st;

	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return true;
	if (errno != EINVAL && errno != ENOSYS)
		return stuck(t, "rename", errno);
	/* A file system without it: look first, the best that is left. */
	if (lstat(to, &st) == 0)
		return stuck(t, "rename", EEXIST);
	if (errno != ENOENT || rename(from, to) != 0)
		return stuck(t, "rename", errno);
	return true;
}

/* Both directories are opened first, so that what cannot be flushed is not begun. */
bool disk_rename(const char *from, const char *to, struct trouble *t)
{
	int source = open_parent(from, t);
	int target = source < 0 ? -1 : open_parent(to, t);
	bool ok = target >= 0 && rename_new(from, to, t);

	if (ok && (!flush(target, true) || !flush(source, true)))
		ok = stuck(t, "flush of the directory", errno);
	if (source >= 0)
		close(source);
	if (target >= 0)
		close(target);
	return ok;
}

bool disk_remove(const char *path, struct trouble *t)
{
	if (unlink(path) == 0)
		return flush_parent(path, t);
	return errno == ENOENT || stuck(t, "unlink", errno);
}
